//! Every store runs every case of the storage contract. What a store may lack is named in its line; anything
//! else that a case has to skip fails.

use cfg_engine::config::Shape;
use cfg_engine_conformance::{MemoryHarness, tests};

tests!(memory_row, MemoryHarness::new(Shape::Row), may_lack: []);
tests!(memory_doc, MemoryHarness::new(Shape::Doc), may_lack: []);
