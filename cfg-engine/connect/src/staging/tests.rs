use cfg_engine::document::Oid;
use cfg_engine::history::{CollectionName, IdKey, Seq};

use super::*;

fn record(env: &str, id: &str) -> RecordKey {
    RecordKey {
        env: EnvName::new(env).expect("a name"),
        collection: CollectionName::new("prompts").expect("a name"),
        id: IdKey::from_value(&Value::from(id)).expect("an id"),
    }
}

fn staged(env: &str, id: &str, doc: &str) -> Staged {
    Staged {
        base: Base { record: record(env, id), seq: Some(Seq(7)), oid: Some(Oid::from_bytes([1; 32])) },
        staged_at: Timestamp::from_millis(1_700_000_000_123),
        doc: Value::from_interchange(doc).expect("valid"),
    }
}

fn project() -> (tempfile::TempDir, Staging) {
    let dir = tempfile::tempdir().expect("a folder");
    let staging = Staging::new(dir.path());
    (dir, staging)
}

#[test]
fn what_is_put_is_got() {
    let (_dir, staging) = project();
    for doc in [
        r#"{"model":"large","at":{"$date":{"$numberLong":"5"}},"n":1.0,"key":{"$secret":true}}"#,
        r#"{"$literal":{"$oid":"x"}}"#,
        r#"{"$literal":{"$literal":{"a":1}}}"#,
        "{}",
    ] {
        let put = staged("dev", "planner", doc);
        staging.put(&put).expect("put");
        assert_eq!(staging.get(put.record()).expect("get"), Some(put), "{doc}");
    }
    let mut fresh = staged("dev", "planner", "{}");
    (fresh.base.seq, fresh.base.oid) = (None, None);
    staging.put(&fresh).expect("put");
    assert_eq!(staging.get(fresh.record()).expect("get"), Some(fresh.clone()));
    assert_eq!(staging.get(&record("prod", "planner")).expect("get"), None);
    assert!(staging.remove(fresh.record()).expect("remove"));
    assert!(!staging.remove(fresh.record()).expect("remove again"));
    assert!(!staging.remove(&record("prod", "planner")).expect("no folder"));
    assert_eq!(staging.get(fresh.record()).expect("get"), None);
}

#[test]
fn what_has_no_place_in_a_file_is_refused() {
    let (_dir, staging) = project();
    for doc in ["[1,2]", "null", r#"{"$cfg":{"env":"other"}}"#] {
        let error = staging.put(&staged("dev", "planner", doc)).expect_err(doc);
        assert!(matches!(error, StagingError::Unusable { .. }), "{error}");
    }
}

#[test]
fn a_staged_file_is_a_document_file() {
    let (_dir, staging) = project();
    let put = staged("dev", "planner", r#"{"model":"large"}"#);
    let path = staging.put(&put).expect("put");
    let text = fs::read_to_string(path).expect("read");
    let (doc, base) = cfg_engine::engine::parse_document(&text).expect("a document");
    assert_eq!((doc, base), (put.doc, Some(put.base)));
}

#[test]
fn the_list_is_per_env_and_a_broken_file_is_one_row() {
    let (_dir, staging) = project();
    assert!(staging.list(&record("dev", "x").env).expect("nothing yet").is_empty());
    for (env, id) in [("dev", "b"), ("dev", "a"), ("prod", "c")] {
        staging.put(&staged(env, id, "{}")).expect("put");
    }
    let path = staging.path(&record("dev", "a"));
    fs::write(path.with_file_name("prompts=broken.json"), "{").expect("write");
    fs::write(path.with_file_name(".staging-left"), "{").expect("write");
    fs::copy(&path, path.with_file_name("prompts=renamed.json")).expect("copy");
    let rows = staging.list(&record("dev", "x").env).expect("list");
    let shown: Vec<String> = rows
        .iter()
        .map(|row| row.staged.as_ref().map_or_else(|e| e.code().to_owned(), |staged| staged.record().id.to_string()))
        .collect();
    assert_eq!(shown, ["a", "b", "staging_broken", "staging_broken"]);
}

#[test]
fn a_file_of_another_env_is_refused() {
    let (_dir, staging) = project();
    let from = staging.put(&staged("dev", "planner", "{}")).expect("put");
    staging.put(&staged("prod", "other", "{}")).expect("put");
    let prod = record("prod", "planner");
    fs::copy(from, staging.path(&prod)).expect("copy");
    let error = staging.get(&prod).expect_err("staged in dev");
    assert!(matches!(error, StagingError::OtherEnv { .. }), "{error}");
    assert!(error.hint().contains("--env dev"));
    let codes: Vec<_> = staging.list(&prod.env).expect("list").iter().map(|row| row.staged.is_ok()).collect();
    assert_eq!(codes, [true, false]);
}

#[test]
fn ids_cannot_leave_the_folder() {
    let (dir, staging) = project();
    for id in ["../../../x", "/etc/passwd", "..", "a/b"] {
        let path = staging.put(&staged("dev", id, "{}")).expect("put");
        assert_eq!(path.parent(), Some(dir.path().join(".cfg/staged/dev").as_path()));
    }
}

#[cfg(unix)]
#[test]
fn files_and_folders_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let (dir, staging) = project();
    let path = staging.put(&staged("dev", "planner", "{}")).expect("put");
    let mode = |path: &Path| fs::metadata(path).expect("metadata").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    for folder in [".cfg", ".cfg/staged", ".cfg/staged/dev"] {
        assert_eq!(mode(&dir.path().join(folder)), 0o700, "{folder}");
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("chmod");
    staging.put(&staged("dev", "planner", "{}")).expect("put again");
    assert_eq!(mode(&path), 0o600);
}

#[cfg(unix)]
#[test]
fn links_that_leave_are_refused() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().expect("a folder");
    let put = staged("dev", "planner", "{}");

    let (dir, staging) = project();
    symlink(outside.path(), dir.path().join(".cfg")).expect("link");
    assert!(matches!(staging.put(&put), Err(StagingError::Outside { .. })));
    assert_eq!(fs::read_dir(outside.path()).expect("read").count(), 0, "nothing is made behind the link");

    let (dir, staging) = project();
    fs::create_dir_all(dir.path().join(".cfg/staged")).expect("folders");
    symlink(outside.path(), dir.path().join(".cfg/staged/dev")).expect("link");
    assert!(matches!(staging.put(&put), Err(StagingError::Outside { .. })));
    assert!(matches!(staging.list(&put.record().env), Err(StagingError::Outside { .. })));
    assert!(matches!(staging.remove(put.record()), Err(StagingError::Outside { .. })));

    let (_dir, staging) = project();
    let path = staging.put(&put).expect("put");
    let stolen = outside.path().join("secret.json");
    fs::rename(&path, &stolen).expect("rename");
    symlink(&stolen, &path).expect("link");
    assert!(matches!(staging.get(put.record()), Err(StagingError::Outside { .. })));
    // Writing replaces the link and not what it leads to.
    fs::write(&stolen, "untouched").expect("write");
    staging.put(&put).expect("put");
    assert_eq!(fs::read_to_string(&stolen).expect("read"), "untouched");
    assert_eq!(staging.get(put.record()).expect("get"), Some(put));
}

#[test]
fn a_project_reached_through_a_link_is_fine() {
    #[cfg(unix)]
    {
        let (dir, _) = project();
        let elsewhere = tempfile::tempdir().expect("a folder");
        let link = elsewhere.path().join("project");
        std::os::unix::fs::symlink(dir.path(), &link).expect("link");
        let staging = Staging::new(&link);
        let put = staged("dev", "planner", "{}");
        staging.put(&put).expect("put");
        assert_eq!(staging.get(put.record()).expect("get"), Some(put));
    }
}
