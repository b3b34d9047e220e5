//! Changes inputs by chance: what is left of a fuzzer where there is no instrumentation.

/// Makes new inputs from known ones. The same seed makes the same ones.
pub struct Mutator {
    state: u64,
    corpus: Vec<Vec<u8>>,
}

/// What inputs of these parsers are made of.
const WORDS: [&str; 34] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "true",
    "0",
    "-0",
    "1e400",
    "9007199254740993",
    "0.1",
    "\\u0000",
    "\\ud800",
    "\\",
    "e\u{301}",
    "\u{e9}",
    "\"$numberLong\"",
    "\"$date\"",
    "\"$literal\"",
    "\"$oid\"",
    "{\"$uuid\":\"",
    "@",
    "@{",
    "..",
    "~1",
    ".",
    "[0]",
    "=",
    "\n",
    "2026-06-07T00:00:00Z",
    "\"doc\":null",
];

impl Mutator {
    /// Starts from a corpus, which is not empty.
    pub fn new(seed: u64, corpus: Vec<Vec<u8>>) -> Self {
        Mutator { state: seed ^ 0x1234_5678_9abc_def1, corpus }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// Makes an input.
    pub fn input(&mut self) -> Vec<u8> {
        let at = self.below(self.corpus.len());
        let mut data = self.corpus[at].clone();
        for _ in 0..1 + self.below(6) {
            let (from, to) = (self.below(data.len() + 1), self.below(data.len() + 1));
            let (from, to) = (from.min(to), from.max(to));
            match self.below(8) {
                0 => drop(data.drain(from..to)),
                1 => {
                    let part = data[from..to].to_vec();
                    data.splice(from..from, part);
                }
                2 => {
                    let other = self.below(self.corpus.len());
                    let other = self.corpus[other].clone();
                    let cut = self.below(other.len() + 1);
                    data.truncate(from);
                    data.extend_from_slice(&other[cut..]);
                }
                3 if from < data.len() => data[from] ^= 1 << self.below(8),
                4 if from < data.len() => data[from] = self.next() as u8,
                5 if from < data.len() && data[from].is_ascii_digit() => data[from] = b'0' + self.below(10) as u8,
                _ => {
                    let word = WORDS[self.below(WORDS.len())];
                    data.splice(from..from, word.bytes());
                }
            }
        }
        data.truncate(4096);
        data
    }

    /// Keeps an input: what comes later may be made from it.
    pub fn keep(&mut self, data: Vec<u8>) {
        if self.corpus.len() < 5000 {
            self.corpus.push(data);
        }
    }
}
