//! Prints the canonical text of doubles: one line of sixteen hex digits (the bits) in, one line out.
//!
//! For oracles in other languages; see `tests/oracles`.

use std::io::{BufRead, Write};

use cfg_engine::document::Number;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let number = Number::Double(f64::from_bits(u64::from_str_radix(line?.trim(), 16)?));
        let mut text = Vec::new();
        if number.write_canonical(&mut text).is_err() {
            text = b"not finite".to_vec();
        }
        out.write_all(&text)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
