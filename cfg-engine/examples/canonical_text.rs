//! Prints texts as the canonical form has them: one line of code points in hex in, one line out.
//!
//! The first line out is the Unicode version. For oracles in other languages; see `tests/oracles`.

use std::io::{BufRead, Write};

use cfg_engine::Value;
use cfg_engine::document::{FieldPolicy, UNICODE_VERSION, canonical_bytes};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let policy = FieldPolicy::default();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let (major, minor, update) = UNICODE_VERSION;
    writeln!(out, "{major}.{minor}.{update}")?;
    for line in std::io::stdin().lock().lines() {
        let mut text = String::new();
        for code in line?.split_whitespace() {
            text.push(char::from_u32(u32::from_str_radix(code, 16)?).ok_or("not a character")?);
        }
        out.write_all(&canonical_bytes(&Value::String(text), &policy)?)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
