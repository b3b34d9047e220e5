//! Moments: absolute in UTC, and how long ago.

use cfg_engine::history::Timestamp;

/// Writes a moment to the second: `2026-06-07 12:00:03Z`.
pub(crate) fn stamp(time: Timestamp) -> String {
    let text = time.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(date), Some(clock)) if text.ends_with('Z') => format!("{date} {clock}Z"),
        _ => text,
    }
}

/// Writes how long ago a moment was.
pub(crate) fn ago(time: Timestamp, now: Timestamp) -> String {
    const UNITS: [(i64, i64, &str); 6] = [
        (60, 1, "second"),
        (3600, 60, "minute"),
        (86_400, 3600, "hour"),
        (14 * 86_400, 86_400, "day"),
        (60 * 86_400, 7 * 86_400, "week"),
        (730 * 86_400, 30 * 86_400, "month"),
    ];
    let seconds = now.as_millis().saturating_sub(time.as_millis()) / 1000;
    if (-1..5).contains(&seconds) {
        return "just now".to_owned();
    }
    let away = seconds.abs();
    let (size, name) = UNITS
        .into_iter()
        .find(|(below, _, _)| away < *below)
        .map_or((365 * 86_400, "year"), |(_, size, name)| (size, name));
    let number = away / size;
    let plural = if number == 1 { "" } else { "s" };
    match seconds > 0 {
        true => format!("{number} {name}{plural} ago"),
        false => format!("in {number} {name}{plural}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        let now = Timestamp::parse("2026-06-07T12:00:03.456Z").expect("a time");
        assert_eq!(stamp(now), "2026-06-07 12:00:03Z");
        for (before, words) in [
            (0, "just now"),
            (-1000, "just now"),
            (30_000, "30 seconds ago"),
            (60_000, "1 minute ago"),
            (-7_200_000, "in 2 hours"),
            (13 * 86_400_000, "13 days ago"),
            (20 * 86_400_000, "2 weeks ago"),
            (70 * 86_400_000, "2 months ago"),
            (800 * 86_400_000, "2 years ago"),
        ] {
            assert_eq!(ago(now.plus_millis(-before), now), words);
        }
    }
}
