//! SHA-256 addresses: [`Oid`] of content, [`EntryId`] of an entry header.

use std::fmt;
use std::str::FromStr;

/// How many hex digits of an address are shown to people.
pub const SHORT_DIGITS: usize = 12;

/// The shortest prefix of an address that is accepted as a reference.
pub const MIN_PREFIX: usize = 4;

/// Says that a text is not 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 lower-case hex digits")]
pub struct InvalidHex;

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)] as char);
        out.push(DIGITS[usize::from(byte & 15)] as char);
    }
    out
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; 32]);

        impl $name {
            /// Takes the 32 bytes of a SHA-256 digest.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// Returns the 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Returns the 64 lower-case hex digits.
            pub fn to_hex(&self) -> String {
                to_hex(&self.0)
            }

            /// Returns the first 12 hex digits, for people.
            pub fn short(&self) -> String {
                let mut hex = to_hex(&self.0);
                hex.truncate(SHORT_DIGITS);
                hex
            }

            /// Returns whether the hex digits start with `prefix`.
            pub fn starts_with(&self, prefix: &str) -> bool {
                self.to_hex().starts_with(prefix)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&to_hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.short())
            }
        }

        impl FromStr for $name {
            type Err = InvalidHex;

            fn from_str(text: &str) -> Result<Self, InvalidHex> {
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(InvalidHex);
                }
                let bytes = from_hex(text).ok_or(InvalidHex)?;
                Ok(Self(bytes.try_into().map_err(|_| InvalidHex)?))
            }
        }
    };
}

address! {
    /// The address of a document's versioned content: `sha256(canonical(strip(doc)))`.
    ///
    /// Not unique in a history: a restore makes a second entry with an old oid.
    Oid
}

address! {
    /// The address of one entry: `sha256(canonical(header))`.
    EntryId
}
