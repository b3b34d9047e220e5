//! Every store that the tests of the verbs run on.

use std::sync::Arc;

use cfg_engine::config::{Settings, Shape};
use cfg_engine::engine::Project;
use cfg_engine::history::{Author, AuthorClass, EnvName};
use cfg_engine_conformance::{Harness, MemoryHarness, Space, Table};

use crate::sqlite::SqliteHarness;

/// Returns a harness for each store in each shape.
pub(crate) fn harnesses() -> Vec<Arc<dyn Harness>> {
    let (row, doc) = (Shape::Row, Shape::Doc);
    vec![
        Arc::new(MemoryHarness::new(row)),
        Arc::new(MemoryHarness::new(doc)),
        Arc::new(SqliteHarness::new(row)),
        Arc::new(SqliteHarness::new(doc)),
    ]
}

/// Returns the settings of the env that the tests write.
pub(crate) fn settings() -> Settings {
    let author = Author { id: "a@example.com".to_owned(), class: AuthorClass::Pipeline };
    Settings::new(EnvName::new("dev").unwrap(), author)
}

/// Opens a project on a fresh store with these tables, and initialises it.
pub(crate) async fn project(harness: &Arc<dyn Harness>, tables: Vec<Table>) -> (Project, Space) {
    let space = Space::with(harness, tables).await;
    let project = Project::new(Arc::clone(&space.store), settings());
    project.init(false).await.unwrap();
    (project, space)
}
