//! The text of an IEEE 754 Decimal128, as BSON writes it.
//!
//! `1.10` and `1.1` are different Decimal128 values that denote the same digits: the stored text
//! keeps them apart, the canonical bytes do not.

/// The most digits that a Decimal128 holds.
const DIGITS: usize = 34;
/// The least exponent of the last digit.
const MIN_EXPONENT: i64 = -6176;
/// The greatest exponent of the last digit.
const MAX_EXPONENT: i64 = 6111;

/// Returns the one text that BSON prints for the value that `text` denotes, or `None` where it
/// denotes none exactly.
pub(crate) fn canonical_text(text: &str) -> Option<String> {
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    if unsigned.eq_ignore_ascii_case("nan") {
        return (unsigned.len() == text.len()).then(|| "NaN".to_owned());
    }
    if unsigned.eq_ignore_ascii_case("infinity") || unsigned.eq_ignore_ascii_case("inf") {
        return Some(format!("{sign}Infinity"));
    }
    let (mut digits, mut exponent) = coefficient(unsigned)?;
    let zero = digits == "0";
    while digits.len() > DIGITS || (exponent < MIN_EXPONENT && !zero) {
        // Only a zero can go without losing anything.
        if digits.len() == 1 || digits.pop()? != '0' {
            return None;
        }
        exponent += 1;
    }
    if zero {
        exponent = exponent.clamp(MIN_EXPONENT, MAX_EXPONENT);
    }
    if exponent > MAX_EXPONENT {
        let missing = usize::try_from(exponent - MAX_EXPONENT).ok()?;
        if digits.len().checked_add(missing)? > DIGITS {
            return None;
        }
        digits.extend(std::iter::repeat_n('0', missing));
        exponent = MAX_EXPONENT;
    }
    Some(format!("{sign}{}", lay_out(&digits, exponent)))
}

/// Splits an unsigned decimal text into its digits, without leading zeros, and the exponent of the last.
fn coefficient(text: &str) -> Option<(String, i64)> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{whole}{fraction}");
    if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let digits = all.trim_start_matches('0');
    let digits = if digits.is_empty() { "0" } else { digits };
    Some((digits.to_owned(), exponent.checked_sub(i64::try_from(fraction.len()).ok()?)?))
}

fn lay_out(digits: &str, exponent: i64) -> String {
    let adjusted = exponent + digits.len() as i64 - 1;
    if exponent > 0 || adjusted < -6 {
        let (first, rest) = digits.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        return format!("{first}{point}{rest}E{adjusted:+}");
    }
    let fraction = exponent.unsigned_abs() as usize;
    if fraction == 0 {
        return digits.to_owned();
    }
    let padded = format!("{digits:0>width$}", width = fraction + 1);
    let (whole, fraction) = padded.split_at(padded.len() - fraction);
    format!("{whole}.{fraction}")
}
