//! Every store runs every case of the storage contract. What a store may lack is named in its line; anything
//! else that a case has to skip fails.

use cfg_engine::config::Shape;
use cfg_engine_conformance::Need::{ClockControl, ExtendedTypes, FreeFields, MixedIds, Verbatim};
use cfg_engine_conformance::{MemoryHarness, tests};

use crate::mongodb::MongoHarness;
use crate::postgres::PostgresHarness;
use crate::sqlite::SqliteHarness;

tests!(memory_row, MemoryHarness::new(Shape::Row), may_lack: []);
tests!(memory_doc, MemoryHarness::new(Shape::Doc), may_lack: []);
tests!(sqlite_doc, SqliteHarness::new(Shape::Doc), may_lack: [ExtendedTypes, MixedIds]);
tests!(sqlite_row, SqliteHarness::new(Shape::Row), may_lack: [ExtendedTypes, MixedIds, FreeFields]);
tests!(mongodb, MongoHarness::new(), may_lack: [ClockControl]);
tests!(postgres_json, PostgresHarness::json(), may_lack: [ClockControl, ExtendedTypes, MixedIds]);
tests!(postgres_jsonb, PostgresHarness::jsonb(), may_lack: [ClockControl, ExtendedTypes, MixedIds, Verbatim]);
tests!(postgres_row, PostgresHarness::row(), may_lack: [ClockControl, ExtendedTypes, MixedIds, FreeFields]);
tests!(
    pgbouncer_jsonb,
    PostgresHarness::jsonb_through_pooler(),
    may_lack: [ClockControl, ExtendedTypes, MixedIds, Verbatim]
);
tests!(
    pgbouncer_row,
    PostgresHarness::row_through_pooler(),
    may_lack: [ClockControl, ExtendedTypes, MixedIds, FreeFields]
);
