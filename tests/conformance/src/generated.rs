//! Histories made up from a seed: backdated entries, equal instants, tombstones, redact entries,
//! estimated baselines.

use cfg_engine::Value;
use cfg_engine::adapter::{ExpectedLive, StoredDoc};
use cfg_engine::document::Object;
use cfg_engine::history::{Op, RecordKey, Timestamp};

use crate::draft::{Draft, DraftEntry};
use crate::space::Space;

/// A small deterministic generator (xorshift64*).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// Returns a number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }

    /// Returns true in `percent` of 100 cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The first of the nine instants that generated versions become live at, a second apart.
pub(crate) const EPOCH: Timestamp = Timestamp::from_millis(1_577_836_800_000);

/// Returns the instant that is `n` seconds after the first.
pub(crate) fn instant(n: u64) -> Timestamp {
    EPOCH.plus_millis(n as i64 * 1000)
}

/// Writes batches of made-up entries to a record, live left alone.
pub async fn history(space: &Space, record: &RecordKey, random: &mut Random, batches: u64) {
    for _ in 0..batches {
        let state = space.state(record).await;
        let first = state.head.is_none();
        let mut draft = Draft::of(&state).expecting(ExpectedLive::Unchecked);
        for n in 0..=random.below(3) {
            let mut entry = if random.chance(10) && !(first && n == 0) {
                DraftEntry::new(Op::Redact, None, StoredDoc::None)
            } else {
                let doc = space.doc(record, &Object::new().with("n", random.below(5)));
                let doc: Option<Value> = (!random.chance(20)).then_some(doc);
                DraftEntry::given(space, record, Op::Import, doc.as_ref())
            };
            if entry.op != Op::Redact && !random.chance(15) {
                entry.valid_from = Some(instant(random.below(9)));
                entry.estimated = entry.oid.is_some() && random.chance(25);
            }
            draft.entries.push(entry);
        }
        space.applied(vec![draft]).await;
    }
}
