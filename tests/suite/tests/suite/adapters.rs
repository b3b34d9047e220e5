//! Every store runs every case of the storage contract. What a store may lack is named in its line; anything
//! else that a case has to skip fails.

use cfg_engine::config::Shape;
use cfg_engine_conformance::Need::{ClockControl, ExtendedTypes, FreeFields, MixedIds};
use cfg_engine_conformance::{MemoryHarness, tests};

use crate::sqlite::SqliteHarness;

tests!(memory_row, MemoryHarness::new(Shape::Row), may_lack: []);
tests!(memory_doc, MemoryHarness::new(Shape::Doc), may_lack: []);
tests!(sqlite_doc, SqliteHarness::new(Shape::Doc), may_lack: [ClockControl, ExtendedTypes, MixedIds]);
tests!(sqlite_row, SqliteHarness::new(Shape::Row), may_lack: [ClockControl, ExtendedTypes, MixedIds, FreeFields]);
