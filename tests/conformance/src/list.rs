//! The one list of cases. `tests!` makes a test of each line.

use crate::Case;

/// Hands every case, by group, to another macro.
#[doc(hidden)]
#[macro_export]
macro_rules! __each_case {
    ($then:ident { $($args:tt)* }) => {
        $crate::$then! { { $($args)* }
            entries: "What an entry carries comes back as it was, so that its id can be computed again." {
                every_header_field_round_trips,
                absent_header_fields_stay_absent,
                an_empty_base_is_not_an_absent_one,
                every_op_and_author_class_round_trips,
                entries_chain_over_many_batches,
                several_entries_in_one_change,
                a_long_history_in_one_change,
                a_tombstone_has_no_document,
                a_header_read_has_no_document,
                the_head_names_who_wrote_it,
            }
            lost_update: "P1: of two batches that saw the same head, one is applied." {
                of_two_batches_on_one_head_one_wins,
                the_current_head_is_named_in_full,
                eight_writers_of_one_record,
                writers_of_overlapping_batches,
                of_eight_first_commits_one_wins,
                a_moved_tip_beside_the_same_head_is_told,
                a_head_where_none_was_expected,
                no_head_where_one_was_expected,
            }
            bypass: "P2: what somebody wrote around the tool between read and write is never lost." {
                a_raw_write_between_read_and_write_wins,
                a_raw_write_of_the_written_value_wins,
                a_raw_write_deep_inside_wins,
                an_ignored_field_may_move,
                an_ignored_path_may_move_beside_the_written_one,
                an_ignored_field_may_appear_and_vanish,
                a_rotated_secret_is_kept,
                a_secret_that_moved_is_not_overwritten,
                a_written_ignored_value_that_moved_is_not_overwritten,
                a_value_that_only_changed_its_spelling,
                members_that_changed_their_order_keep_it,
                a_deleted_row_is_not_written,
                a_row_that_appeared_is_not_doubled,
                adopting_guards_what_it_records,
                a_delete_guards_what_it_deletes,
                unchecked_writes_only_its_path,
                unchecked_leaves_live_alone,
                unchecked_needs_a_row_to_write,
                a_second_live_row_is_ambiguous,
                leaving_live_writes_nothing_to_it,
            }
            live_rule: "Which row is live: operators select and are never written." {
                equality_selects,
                equality_with_null_selects_rows_without_the_value,
                in_and_nin_select,
                ne_selects_rows_without_the_value_too,
                exists_selects,
                comparisons_select,
                conditions_are_a_conjunction,
                rows_outside_the_rule_are_counted_when_asked_for,
                rows_outside_the_rule_are_never_written,
                a_seed_gets_the_pairs_and_the_id,
                a_seed_never_gets_an_operator,
                a_seed_that_fails_the_rule_leaves_nothing,
                a_seed_beside_a_live_row_is_refused,
                a_row_that_leaves_the_rule_is_gone,
                deleting_and_seeding_again,
            }
            atomic: "P3: live, entries, heads, ends and objects change together or not at all." {
                a_stale_head_in_the_last_of_a_batch,
                a_stale_live_document_in_the_last_of_a_batch,
                a_missing_row_in_the_last_of_a_batch,
                a_second_row_in_the_last_of_a_batch,
                a_stale_object_beside_good_changes,
                a_seed_that_fails_in_the_last_of_a_batch,
                a_batch_of_every_kind_is_applied_whole,
                a_backdated_import_closes_what_it_splits,
                a_change_of_live_without_an_entry,
                a_batch_over_two_collections,
                a_refused_batch_can_be_planned_again,
            }
            replay: "P4: a batch that comes again is recognised and written once." {
                the_same_batch_twice_is_written_once,
                a_first_commit_twice_is_written_once,
                a_deletion_twice_is_written_once,
                a_replay_after_later_commits,
                an_op_id_finds_its_entries,
                a_refused_batch_leaves_no_op_id,
                one_batch_from_six_tasks,
                a_batch_of_objects_twice_is_written_once,
            }
            as_of: "P5: per record and instant at most one row on each axis, exactly what the definition says." {
                the_valid_axis_is_as_defined,
                the_recorded_axis_is_as_defined,
                both_axes_are_as_defined,
                an_answer_on_both_axes_never_changes,
                an_interval_is_half_open,
                an_empty_interval_never_answers,
                a_tombstone_answers_nothing_while_it_holds,
                a_redact_entry_is_no_version,
                a_question_before_an_estimated_baseline_is_flagged,
                addresses_answer_as_entries_do,
                a_header_answer_has_no_document,
                scopes_limit_the_answer,
                live_is_never_looked_at,
            }
            clock: "Time is the store's: a batch whose instant does not fit it is refused." {
                a_batch_must_be_later_than_the_tip,
                a_batch_must_be_later_than_every_tip,
                a_batch_may_not_lie_far_behind,
                a_batch_may_not_lie_far_ahead,
                the_tolerance_is_two_seconds,
                after_the_clock_stepped_back_a_tip_plus_one_fits,
                after_the_clock_stepped_back_many_commits_go_on,
                objects_have_a_time_too,
                readings_never_run_backwards,
            }
            limits: "Limits are named, and what lies below them works." {
                the_largest_batch_is_applied,
                a_larger_batch_is_refused_with_the_limit,
                a_document_of_a_megabyte,
                a_document_beyond_the_limit_is_refused,
                a_batch_of_nothing_is_applied,
            }
            ids: "Ids of every kind, and ids that look alike." {
                plain_and_odd_texts,
                texts_that_look_like_numbers,
                both_normal_forms_are_kept_apart,
                case_width_and_scripts_are_kept_apart,
                the_longest_id,
                whole_numbers,
                a_number_is_not_its_text,
                several_types_in_one_collection,
                uuids,
                composite_ids,
                rows_without_a_usable_id_do_no_harm,
            }
            documents: "What a document may hold, and that it is stored, written and read back as it is." {
                odd_keys,
                odd_keys_are_written_by_path,
                look_alikes_stay_what_they_are,
                nesting_to_the_limit,
                numbers_keep_their_digits_and_spelling,
                texts_of_every_kind,
                nulls_and_empties_are_kept,
                key_order_is_kept,
                arrays_are_edited_in_place,
                unsetting_is_not_writing_null,
                several_changes_of_one_document,
                secrets_are_not_stored,
                a_secret_is_written_and_hashed_by_nobody,
                ignored_values_are_stored_as_read,
                a_given_document_is_stored_as_given,
                any_top_level_field,
                extended_types,
                what_cannot_be_a_document_is_refused,
                errors_show_no_values,
            }
            reading: "Reads: complete, in order, in one snapshot." {
                all_is_the_union_of_live_and_history,
                named_records_come_back_whatever_they_are,
                thousands_of_records_come_in_order,
                a_stream_is_one_snapshot,
                a_stream_may_be_dropped,
                live_and_head_are_of_one_moment,
                envs_have_histories_of_their_own,
                collections_of_one_name_part_do_not_mix,
                entries_by_order_and_limit,
                entries_across_records,
                entries_by_seq_author_and_sha,
                entries_by_time,
                addresses_say_what_entries_say,
                an_unhashable_document_harms_nobody_else,
                history_of_what_is_not_there_is_empty,
                many_readers_and_writers,
            }
            objects: "The engine's own documents: versioned, guarded, listed by kind." {
                created_updated_deleted,
                a_stale_version_is_refused,
                one_stale_object_of_several_refuses_all,
                listed_by_kind_and_ordered_by_name,
                odd_names_and_bodies,
                a_body_of_a_megabyte,
                eight_writers_of_one_object,
                a_guarded_object_is_compared_and_not_written,
                a_guard_that_does_not_hold_refuses_all,
                nothing_slips_past_a_guard_that_moved,
            }
            activation: "Rows of one id take turns, and at no moment are none or two of them live." {
                a_row_that_has_the_content_is_promoted,
                a_row_is_added_where_none_has_the_content,
                the_first_of_them_needs_nobody_to_step_back,
                a_row_that_stays_live_refuses_it,
                a_live_row_that_moved_refuses_it,
            }
            upkeep: "Git shas are added and heads are mended under the same guards as every other write." {
                git_shas_are_added_and_never_replaced,
                a_link_to_an_entry_that_is_not_there_is_refused,
                a_link_on_a_head_that_moved_is_refused,
                a_head_is_not_lost_while_it_is_there,
                a_sound_store_finds_nothing,
            }
            overwriting: "What is stored of older entries is overwritten under the same guards, and no header ever is." {
                stored_documents_are_overwritten_and_nothing_else,
                a_record_goes_on_after_it,
                a_message_is_overwritten_alone,
                what_is_stored_otherwise_than_seen_is_left,
                an_entry_that_is_not_there_is_refused,
                it_is_taken_back_with_its_batch,
                records_of_one_batch_are_overwritten_together,
            }
            setup: "Opening, preparing, opening again." {
                preparing_twice_changes_nothing,
                collections_are_those_configured,
                another_process_sees_everything,
                another_policy_is_another_oid,
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __case_list {
    ({} $($group:ident: $promise:literal { $($name:ident,)* })*) => {
        vec![$($(
            $crate::Case {
                name: concat!(stringify!($group), "::", stringify!($name)),
                promise: $promise,
                run: |harness| Box::pin($crate::cases::$group::$name(harness)),
            },
        )*)*]
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __case_tests {
    ({ $store:ident, $harness:expr, $may_lack:expr } $($group:ident: $promise:literal { $($name:ident,)* })*) => {
        mod $store {
            use super::*;
            $(
                #[doc = $promise]
                mod $group {
                    use super::*;
                    $(
                        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                        async fn $name() {
                            let name = concat!(stringify!($group), "::", stringify!($name));
                            $crate::run(name, ::std::sync::Arc::new($harness), &$may_lack).await;
                        }
                    )*
                }
            )*
        }
    };
}

/// Makes a test of every case for one store: `tests!(module, harness, may_lack: [Need::…])`.
#[macro_export]
macro_rules! tests {
    ($store:ident, $harness:expr, may_lack: $may_lack:expr) => {
        $crate::__each_case! { __case_tests { $store, $harness, $may_lack } }
    };
}

pub(crate) fn all() -> Vec<Case> {
    __each_case! { __case_list {} }
}
