//! What happened, as a hash; as text where somebody wants to read it.

use std::fmt::Arguments;

/// The events of a run. Two runs of one seed have the same hash.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    text: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(verbose: bool) -> Self {
        Trace { hash: 0xcbf2_9ce4_8422_2325, text: verbose.then(Vec::new) }
    }

    fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Notes an event: by its numbers for the hash, in words for people.
    pub(crate) fn event(&mut self, name: &str, numbers: &[u64], words: Arguments<'_>) {
        self.mix(name.as_bytes());
        for number in numbers {
            self.mix(&number.to_le_bytes());
        }
        if let Some(text) = &mut self.text {
            text.push(format!("{name} {words}"));
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn take_text(&mut self) -> Vec<String> {
        self.text.take().unwrap_or_default()
    }
}
