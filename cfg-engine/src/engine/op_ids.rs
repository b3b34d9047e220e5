//! Where op_ids come from.

use crate::document::to_hex;
use crate::history::OpId;

/// A source of op_ids and of other random bytes. The engine has no randomness of its own, so that a
/// simulation can decide it.
pub trait OpIds: Send + Sync {
    /// Returns 32 bytes that never came before.
    fn fresh(&self) -> [u8; 32];
}

/// Op_ids from the operating system's randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct RandomOpIds;

impl OpIds for RandomOpIds {
    fn fresh(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        // Without randomness from the system nothing can be told apart; there is no fallback.
        getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
        bytes
    }
}

pub(crate) fn op_id(source: &dyn OpIds) -> OpId {
    let hex = to_hex(&source.fresh()[..16]);
    // 32 hex digits are an op_id.
    OpId::new(&hex).expect("hex digits are a name")
}
