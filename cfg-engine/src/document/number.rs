//! Exact numbers and the decimal digits that they denote.
//!
//! A number denotes decimal digits: a double its shortest round-trip digits, an integer or decimal
//! its exact digits, trailing zeros dropped. [`Number::write_canonical`] lays the digits out as
//! ECMAScript's `Number::toString` does (ECMA-262 §6.1.6.1.20), however many there are.

use std::fmt;

/// An exact number. The variant is its stored width, which is kept and never hashed.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Number {
    /// An integer without a width of its own, as JSON has it.
    Int(i64),
    /// BSON's 32-bit integer.
    Int32(i32),
    /// BSON's 64-bit integer.
    Int64(i64),
    /// A double.
    Double(f64),
    /// BSON's Decimal128 in its canonical text (`1.10`, `1E+3`, `NaN`).
    Decimal128(Box<str>),
    /// Any other JSON number, exact: integers beyond 64 bits, decimals beyond a double.
    Decimal(Box<str>),
}

/// The decimal digits a number denotes: `0.d₁d₂…dₙ × 10^point`, no leading or trailing zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Digits {
    pub(crate) negative: bool,
    /// ASCII digits; empty for zero.
    pub(crate) digits: Vec<u8>,
    /// Where the decimal point stands, counted from the front of `digits`.
    pub(crate) point: i64,
}

/// Says that a number is NaN or infinite and therefore has no digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotFinite;

impl Digits {
    /// Reads a decimal text: sign, digits, fraction, exponent. `None` where it is not one.
    pub(crate) fn parse(text: &str) -> Option<Digits> {
        let bytes = text.as_bytes();
        let (negative, rest) = match bytes.first()? {
            b'-' => (true, &bytes[1..]),
            b'+' => (false, &bytes[1..]),
            _ => (false, bytes),
        };
        let end = rest.iter().position(|b| matches!(b, b'e' | b'E')).unwrap_or(rest.len());
        let exponent: i64 = match rest.get(end + 1..) {
            Some(exponent) => std::str::from_utf8(exponent).ok()?.parse().ok()?,
            None => 0,
        };
        let mantissa = &rest[..end];
        let dot = mantissa.iter().position(|b| *b == b'.');
        let (whole, fraction) = match dot {
            Some(dot) => (&mantissa[..dot], &mantissa[dot + 1..]),
            None => (mantissa, &mantissa[mantissa.len()..]),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut digits = Vec::with_capacity(mantissa.len());
        digits.extend_from_slice(whole);
        digits.extend_from_slice(fraction);
        if !digits.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let lead = digits.iter().take_while(|b| **b == b'0').count();
        let point = i64::try_from(whole.len()).ok()?.checked_add(exponent)?.checked_sub(i64::try_from(lead).ok()?)?;
        digits.drain(..lead);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        if digits.is_empty() {
            return Some(Digits { negative: false, digits, point: 0 });
        }
        Some(Digits { negative, digits, point })
    }

    /// Appends the layout of ECMAScript's `Number::toString`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        if self.digits.is_empty() {
            out.push(b'0');
            return;
        }
        if self.negative {
            out.push(b'-');
        }
        let (digits, k, n) = (&self.digits, self.digits.len() as i64, self.point);
        if k <= n && n <= 21 {
            out.extend_from_slice(digits);
            out.resize(out.len() + (n - k) as usize, b'0');
        } else if 0 < n && n <= 21 {
            out.extend_from_slice(&digits[..n as usize]);
            out.push(b'.');
            out.extend_from_slice(&digits[n as usize..]);
        } else if -6 < n && n <= 0 {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + (-n) as usize, b'0');
            out.extend_from_slice(digits);
        } else {
            out.push(digits[0]);
            if k > 1 {
                out.push(b'.');
                out.extend_from_slice(&digits[1..]);
            }
            out.push(b'e');
            out.push(if n > 0 { b'+' } else { b'-' });
            out.extend_from_slice(itoa::Buffer::new().format((n - 1).unsigned_abs()).as_bytes());
        }
    }
}

/// How many digits the exponent of a JSON number may have, leading zeros aside. It bounds the
/// arithmetic on exponents; no store's own number type comes near.
const EXPONENT_DIGITS: usize = 9;

impl Number {
    /// Reads a JSON number into the narrowest exact form: an integer of 64 bits, a double whose
    /// shortest digits are the ones written, else the exact text.
    ///
    /// Returns `None` where `text` is not a JSON number, or has an exponent of more than nine digits.
    pub fn from_json(text: &str) -> Option<Number> {
        let bytes = text.as_bytes();
        let (body, negative) = match bytes.first()? {
            b'-' => (&bytes[1..], true),
            _ => (bytes, false),
        };
        let whole = body.iter().take_while(|b| b.is_ascii_digit()).count();
        if whole == 0 || (whole > 1 && body[0] == b'0') {
            return None;
        }
        if whole == body.len() {
            if negative && body == b"0" {
                return Some(Number::Double(-0.0));
            }
            return Some(text.parse().map_or_else(|_| Number::Decimal(text.into()), Number::Int));
        }
        let mut at = whole;
        if body[at] == b'.' {
            let fraction = body[at + 1..].iter().take_while(|b| b.is_ascii_digit()).count();
            if fraction == 0 {
                return None;
            }
            at += 1 + fraction;
        }
        let mut has_exponent = false;
        if at < body.len() {
            if !matches!(body[at], b'e' | b'E') {
                return None;
            }
            at += 1;
            if matches!(body.get(at), Some(b'+' | b'-')) {
                at += 1;
            }
            has_exponent = true;
            let exponent = &body[at..];
            if exponent.is_empty() || !exponent.iter().all(u8::is_ascii_digit) {
                return None;
            }
            let leading = exponent.iter().take_while(|b| **b == b'0').count();
            if exponent.len() - leading > EXPONENT_DIGITS {
                return None;
            }
        }
        let double: f64 = text.parse().ok()?;
        // Up to 15 significant digits a double gives back what was written (DBL_DIG); without an
        // exponent so few digits cannot reach the subnormal numbers, where that ends.
        if body.len() <= 16 && !has_exponent {
            return Some(Number::Double(double));
        }
        let written = Digits::parse(text)?;
        let same = double.is_finite() && Number::Double(double).digits() == Ok(written);
        Some(if same { Number::Double(double) } else { Number::Decimal(text.into()) })
    }

    /// Returns the decimal digits.
    ///
    /// # Errors
    ///
    /// [`NotFinite`] for NaN and the infinities of every width.
    pub(crate) fn digits(&self) -> Result<Digits, NotFinite> {
        match self {
            Number::Int(n) | Number::Int64(n) => Ok(integer_digits(*n)),
            Number::Int32(n) => Ok(integer_digits(i64::from(*n))),
            Number::Double(d) => {
                if !d.is_finite() {
                    return Err(NotFinite);
                }
                Digits::parse(zmij::Buffer::new().format_finite(*d)).ok_or(NotFinite)
            }
            Number::Decimal128(text) | Number::Decimal(text) => Digits::parse(text).ok_or(NotFinite),
        }
    }

    /// Appends the canonical text.
    ///
    /// # Errors
    ///
    /// [`NotFinite`] for NaN and the infinities of every width.
    pub fn write_canonical(&self, out: &mut Vec<u8>) -> Result<(), NotFinite> {
        match self {
            // 21 digits are the most that are laid out without an exponent; 64 bits have 19.
            Number::Int(n) | Number::Int64(n) => {
                out.extend_from_slice(itoa::Buffer::new().format(*n).as_bytes());
            }
            Number::Int32(n) => out.extend_from_slice(itoa::Buffer::new().format(*n).as_bytes()),
            Number::Double(d) if d.is_finite() => write_double(*d, out),
            Number::Double(_) | Number::Decimal128(_) | Number::Decimal(_) => self.digits()?.write(out),
        }
        Ok(())
    }

    /// Reads a Decimal128, keeping its trailing zeros and exponent as BSON's canonical text has them.
    ///
    /// Returns `None` where no Decimal128 has exactly this value.
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::document::Number;
    /// assert_eq!(Number::decimal128("1.10"), Some(Number::Decimal128("1.10".into())));
    /// assert_eq!(Number::decimal128("12e2"), Some(Number::Decimal128("1.2E+3".into())));
    /// ```
    pub fn decimal128(text: &str) -> Option<Number> {
        super::decimal128::canonical_text(text).map(|text| Number::Decimal128(text.into()))
    }

    /// Returns whether this denotes digits: false for NaN and the infinities.
    pub fn is_finite(&self) -> bool {
        match self {
            Number::Double(d) => d.is_finite(),
            Number::Decimal128(text) | Number::Decimal(text) => Digits::parse(text).is_some(),
            Number::Int(_) | Number::Int32(_) | Number::Int64(_) => true,
        }
    }

    /// Returns the number as `i64`, if it is exactly one.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Number::Int(n) | Number::Int64(n) => Some(*n),
            Number::Int32(n) => Some(i64::from(*n)),
            Number::Double(_) | Number::Decimal128(_) | Number::Decimal(_) => {
                let mut text = Vec::new();
                self.write_canonical(&mut text).ok()?;
                std::str::from_utf8(&text).ok()?.parse().ok()
            }
        }
    }

    /// Returns the nearest double.
    pub fn as_f64(&self) -> f64 {
        match self {
            Number::Int(n) | Number::Int64(n) => *n as f64,
            Number::Int32(n) => f64::from(*n),
            Number::Double(d) => *d,
            Number::Decimal128(text) | Number::Decimal(text) => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// Appends a JSON number that reads back as the same digits.
    ///
    /// # Errors
    ///
    /// [`NotFinite`] for NaN and the infinities, of which JSON has none.
    pub(crate) fn write_json(&self, out: &mut String) -> Result<(), NotFinite> {
        match self {
            Number::Int(n) | Number::Int64(n) => out.push_str(itoa::Buffer::new().format(*n)),
            Number::Int32(n) => out.push_str(itoa::Buffer::new().format(*n)),
            Number::Double(d) if d.is_finite() => out.push_str(zmij::Buffer::new().format_finite(*d)),
            Number::Double(_) => return Err(NotFinite),
            Number::Decimal(text) if Number::from_json(text).is_some() => out.push_str(text),
            Number::Decimal(_) | Number::Decimal128(_) => {
                let mut bytes = Vec::new();
                self.write_canonical(&mut bytes)?;
                out.push_str(std::str::from_utf8(&bytes).map_err(|_| NotFinite)?);
            }
        }
        Ok(())
    }

    /// Returns whether both denote the same digits, whatever their width.
    pub fn same_digits(&self, other: &Number) -> bool {
        match (self, other) {
            (Number::Int(a) | Number::Int64(a), Number::Int(b) | Number::Int64(b)) => a == b,
            _ => match (self.digits(), other.digits()) {
                (Ok(a), Ok(b)) => a == b,
                _ => false,
            },
        }
    }
}

/// Appends the canonical text of a finite double.
fn write_double(double: f64, out: &mut Vec<u8>) {
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(double);
    // Without an exponent the shortest digits already stand as ECMAScript lays them out, but for
    // the `.0` of a whole number and the sign of zero.
    if double != 0.0 && !text.contains('e') {
        out.extend_from_slice(text.strip_suffix(".0").unwrap_or(text).as_bytes());
    } else if let Some(digits) = Digits::parse(text) {
        digits.write(out);
    }
}

fn integer_digits(n: i64) -> Digits {
    let mut buffer = itoa::Buffer::new();
    Digits::parse(buffer.format(n)).unwrap_or(Digits { negative: false, digits: Vec::new(), point: 0 })
}

impl fmt::Debug for Number {
    /// Names the width only: documents may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Number::Int(_) => "<int>",
            Number::Int32(_) => "<int32>",
            Number::Int64(_) => "<int64>",
            Number::Double(_) => "<double>",
            Number::Decimal128(_) => "<decimal128>",
            Number::Decimal(_) => "<decimal>",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    #[test]
    fn what_a_store_calls_a_number_is_never_written_as_broken_json() {
        // PostgreSQL's numeric has NaN and infinities, and a driver may print `.5`.
        for (text, finite, written) in [
            ("NaN", false, r#"{"$numberDecimal":"NaN"}"#),
            ("-Infinity", false, r#"{"$numberDecimal":"-Infinity"}"#),
            (".5", true, "0.5"),
            ("+1.50", true, "1.5"),
            ("1.10", true, "1.10"),
        ] {
            let number = Number::Decimal(text.into());
            assert_eq!(number.is_finite(), finite, "{text}");
            assert_eq!(Value::from(number).to_interchange(), written, "{text}");
        }
    }

    #[test]
    fn widths_agree_on_digits_and_integers() {
        let one = [
            Number::Int(1),
            Number::Int32(1),
            Number::Int64(1),
            Number::Double(1.0),
            Number::Decimal128("1.00".into()),
            Number::Decimal("1.0".into()),
        ];
        for a in &one {
            assert!(one.iter().all(|b| a.same_digits(b)));
            assert_eq!(a.as_i64(), Some(1));
        }
        assert!(!Number::Double(f64::NAN).same_digits(&Number::Double(f64::NAN)));
        assert!(!Number::Int(9_007_199_254_740_993).same_digits(&Number::Double(9_007_199_254_740_992.0)));
        assert_eq!(Number::Decimal("1e400".into()).as_i64(), None);
        assert_eq!(Number::Double(0.5).as_i64(), None);
        assert_eq!(Number::Double(-0.0).as_i64(), Some(0));
    }
}
