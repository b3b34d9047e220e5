//! Instants: milliseconds since 1970-01-01T00:00:00Z.

use std::fmt;

use jiff::civil::Date;
use jiff::tz::TimeZone;

/// An instant in milliseconds since the Unix epoch. Everything the engine stores has this grain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

/// Says that a text is not an instant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a time: {text:?}; write 2023-06-07, 2023-06-07T12:00:00Z or with an offset")]
pub struct TimeError {
    text: String,
}

impl Timestamp {
    /// What an open interval ends with in the store; shown as null.
    pub const OPEN: Timestamp = Timestamp(253_402_300_799_999);

    /// Takes milliseconds since the epoch.
    pub const fn from_millis(ms: i64) -> Self {
        Timestamp(ms)
    }

    /// Returns milliseconds since the epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Returns the instant `ms` milliseconds later.
    #[must_use]
    pub const fn plus_millis(self, ms: i64) -> Self {
        Timestamp(self.0.saturating_add(ms))
    }

    /// Reads an RFC 3339 instant with a zone, or a date alone, which means the end of that day, UTC.
    ///
    /// Fractions beyond milliseconds are cut off.
    ///
    /// # Errors
    ///
    /// [`TimeError`].
    ///
    /// # Examples
    ///
    /// ```
    /// use cfg_engine::history::Timestamp;
    /// assert_eq!(Timestamp::parse("2023-06-07")?.to_string(), "2023-06-07T23:59:59.999Z");
    /// # Ok::<(), cfg_engine::history::TimeError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let fail = || TimeError { text: text.to_owned() };
        if text.len() <= 10 {
            let date: Date = text.parse().map_err(|_| fail())?;
            let next = date.tomorrow().map_err(|_| fail())?;
            let end = next.to_zoned(TimeZone::UTC).map_err(|_| fail())?;
            return Ok(Timestamp(end.timestamp().as_millisecond() - 1));
        }
        Self::parse_instant(text)
    }

    /// Reads an RFC 3339 instant; a zone is required, a date alone is refused.
    ///
    /// # Errors
    ///
    /// [`TimeError`].
    pub fn parse_instant(text: &str) -> Result<Self, TimeError> {
        let parsed: Result<jiff::Timestamp, _> = text.parse();
        parsed
            .map(|t| Timestamp(t.as_nanosecond().div_euclid(1_000_000) as i64))
            .map_err(|_| TimeError { text: text.to_owned() })
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339, UTC, milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(t) => write!(f, "{t:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}
