//! What a store can do, declared by its adapter and never inferred from its name.

/// The differences between stores that the engine acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The store's name for messages: `sqlite`, `memory`, …
    pub store: &'static str,
    /// A batch is one transaction: all of it or nothing.
    pub transactions: bool,
    /// The most records one batch may change.
    pub max_batch_records: usize,
    /// The most bytes of documents the engine puts into one batch.
    pub max_batch_bytes: usize,
    /// The most bytes one stored document may have.
    pub max_document_bytes: usize,
    /// Documents may hold the extended types (dates, binary, …), not only what plain JSON can say.
    pub extended_types: bool,
    /// Data outlives the process.
    pub durable: bool,
    /// Why a batch is not one transaction here, where that could be otherwise. A gated env refuses such a
    /// store, another one says it with every write.
    pub caveat: Option<Caveat>,
}

/// What a store, as it is set up, cannot promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caveat {
    /// What it lacks.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl Capabilities {
    /// Starts from a transactional store without limits of its own; adapters change what differs.
    pub const fn transactional(store: &'static str) -> Self {
        Capabilities {
            store,
            transactions: true,
            max_batch_records: 1000,
            max_batch_bytes: 16 * 1024 * 1024,
            max_document_bytes: 16 * 1024 * 1024,
            extended_types: true,
            durable: true,
            caveat: None,
        }
    }
}
