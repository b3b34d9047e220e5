//! What a store finds wrong with itself.

use crate::history::{RecordKey, Seq};

/// Whether a check also mends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mending {
    /// It looks and writes nothing.
    Look,
    /// It mends what can be mended without making up content.
    Repair,
}

/// Something that only the store can see to be wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreFinding {
    /// Which record, where one is concerned.
    pub record: Option<RecordKey>,
    /// Which entry, where one is concerned.
    pub seq: Option<Seq>,
    /// A stable word: `orphan` (a row of no record), `pending` (a write that was announced and never finished).
    pub code: &'static str,
    /// What is wrong, without values.
    pub problem: String,
    /// What a repair does about it; `None` where nothing can be done without making up content.
    pub repair: Option<String>,
    /// A repair did it.
    pub is_mended: bool,
}
