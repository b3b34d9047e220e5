//! The text of a `timestamptz` in UTC and ISO form, both ways, over the whole range of the type.

/// Reads `2023-06-07 12:00:00.123+00` into milliseconds since 1970. `None` for an infinity, for more than
/// milliseconds, and for what is no such text.
pub(crate) fn millis(text: &str) -> Option<i64> {
    let (text, before_christ) = match text.strip_suffix(" BC") {
        Some(text) => (text, true),
        None => (text, false),
    };
    let text = text.strip_suffix("+00")?;
    let (date, time) = text.split_once([' ', 'T'])?;
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let year = if before_christ { 1 - year } else { year };
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.splitn(3, ':').map(number);
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let (ms, beyond) = fraction.split_at(fraction.len().min(3));
    if !beyond.bytes().all(|b| b == b'0') {
        return None;
    }
    let ms = if ms.is_empty() { 0 } else { number(&format!("{ms:0<3}"))? };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(seconds * 1000 + ms)
}

fn number(digits: &str) -> Option<i64> {
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Writes milliseconds since 1970 as PostgreSQL prints them in UTC; `None` beyond its range.
pub(crate) fn text(ms: i64) -> Option<String> {
    // 4714-11-24 BC to 294276-12-31.
    if !(-210_866_803_200_000..=9_224_318_015_999_999).contains(&ms) {
        return None;
    }
    let (seconds, ms) = (ms.div_euclid(1000), ms.rem_euclid(1000));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    let fraction = match ms {
        0 => String::new(),
        ms => format!(".{ms:03}").trim_end_matches('0').to_owned(),
    };
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}+00{era}"))
}

/// Days since 1970 of a date of the proleptic Gregorian calendar, as H. Hinnant's `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date of a day since 1970, as H. Hinnant's `civil_from_days`.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days - era * 146_097;
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways() {
        for (shown, ms) in [
            ("1970-01-01 00:00:00+00", 0),
            ("1969-12-31 23:59:59.999+00", -1),
            ("2023-06-07 12:34:56.7+00", 1_686_141_296_700),
            ("2000-02-29 00:00:00.001+00", 951_782_400_001),
            ("0044-03-15 00:00:00+00 BC", -63_517_824_000_000),
            ("0001-01-01 00:00:00+00", -62_135_596_800_000),
            ("10000-01-01 00:00:00+00", 253_402_300_800_000),
            ("294276-12-31 23:59:59.999+00", 9_224_318_015_999_999),
        ] {
            assert_eq!(text(ms).as_deref(), Some(shown), "{ms}");
            assert_eq!(millis(shown), Some(ms), "{shown}");
        }
        for day in (-1_500_000..100_000_000_i64).step_by(9973) {
            assert_eq!(text(day * 86_400_000).as_deref().and_then(millis), Some(day * 86_400_000));
        }
    }

    #[test]
    fn what_is_no_date_of_milliseconds() {
        for other in ["infinity", "-infinity", "2023-06-07 12:34:56.789123+00", "2023-06-07", "2023-06-07 00:00:00+02"]
        {
            assert_eq!(millis(other), None, "{other}");
        }
        assert_eq!(text(i64::MAX), None);
        assert_eq!(text(i64::MIN), None);
    }
}
