//! Carries upkeep through: the same gates, the same batch, no entries.

use super::op_ids::op_id;
use super::project::{Options, Project};
use crate::adapter::{AdapterError, ExpectedHead};
use crate::error::Error;
use crate::history::{RecordKey, Seq};
use crate::plan::gates::{OnRefusal, judge};
use crate::plan::{Upkeep, Verb};

/// How often upkeep is tried again where somebody else was faster.
const ATTEMPTS: u32 = 8;

impl Project {
    /// Applies upkeep of some records as one batch.
    ///
    /// Doing it twice is the same as doing it once, so an unknown outcome is settled by doing it again.
    pub(crate) async fn apply_upkeep(&self, verb: Verb, options: &Options, upkeep: Vec<Upkeep>) -> Result<(), Error> {
        let mut last = AdapterError::UnknownOutcome;
        let permit = options.passage.permit.as_deref();
        for _ in 0..ATTEMPTS {
            let mut plan = self.plan(verb, options, Vec::new());
            plan.upkeep.clone_from(&upkeep);
            let env = self.ensure_env().await?;
            let (cleared, _) = judge(plan, self.keeper(options.gate(), OnRefusal::Whole, Some(&env), permit))?;
            let clock = self.adapter.clock().await?;
            let bound = cleared.bind(op_id(&*self.ids), clock.now_at(self.adapter.monotonic()))?;
            match self.adapter.apply(&bound.batch).await {
                Ok(()) => {
                    permit.into_iter().for_each(|permit| permit.done(cleared.pieces()));
                    return Ok(());
                }
                Err(AdapterError::StaleObject { kind, name }) => {
                    if let Some(error) = self.moved_approval(permit).await? {
                        return Err(error);
                    }
                    // The env asks for something else by now.
                    self.forget_env();
                    last = AdapterError::StaleObject { kind, name };
                }
                Err(error @ (AdapterError::Clock { .. } | AdapterError::UnknownOutcome)) => last = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    /// Links a git commit with versions: the sha is added to what they have.
    ///
    /// # Errors
    ///
    /// [`Error::NoVersion`] and the like for a version that is not there; nothing is linked then.
    pub async fn link(&self, versions: &[(RecordKey, Seq)], sha: &str, options: &Options) -> Result<(), Error> {
        let fits = (7..=64).contains(&sha.len()) && sha.bytes().all(|b| b.is_ascii_hexdigit());
        if !fits {
            return Err(Error::refused(
                "bad_sha",
                format!("{sha:?} is not the name of a git commit"),
                "write 7 to 64 hexadecimal digits",
            ));
        }
        let sha = sha.to_ascii_lowercase();
        for (record, seq) in versions {
            self.entry_at(record, &crate::history::Reference::Seq(*seq)).await?;
        }
        if options.dry_run {
            return Ok(());
        }
        self.ensure_env().await?;
        let mut records: Vec<RecordKey> = versions.iter().map(|(record, _)| record.clone()).collect();
        records.sort();
        records.dedup();
        for _ in 0..ATTEMPTS {
            let mut upkeep = Vec::with_capacity(records.len());
            for state in self.states(&records).await? {
                let Some(head) = state.head else { return Err(Error::Untracked { record: state.record }) };
                let of_record = versions.iter().filter(|(record, _)| *record == state.record);
                let mut seqs: Vec<Seq> = of_record.map(|(_, seq)| *seq).collect();
                seqs.sort_unstable();
                seqs.dedup();
                upkeep.push(Upkeep {
                    record: state.record,
                    expected: ExpectedHead::At { head: head.head, tip: head.tip },
                    head: head.head,
                    mended_tip: None,
                    closed: Vec::new(),
                    links: seqs.into_iter().map(|seq| (seq, vec![sha.clone()])).collect(),
                });
            }
            match self.apply_upkeep(Verb::Link, options, upkeep).await {
                Err(Error::StaleHead { .. }) => {}
                other => return other,
            }
        }
        let record = records.into_iter().next();
        record.map_or(Ok(()), |record| Err(Error::Contended { record, attempts: ATTEMPTS }))
    }
}
