//! Small pieces of SQL: quoting, parameters, instants.

use std::error::Error;
use std::fmt;

use bytes::BytesMut;
use cfg_engine::history::Timestamp;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

/// Quotes an identifier: whatever the configuration says, it is a name and nothing else.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Writes a text literal that means the same under every setting of the session.
pub(crate) fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// The store's clock in whole milliseconds since 1970.
pub(crate) const NOW_MS: &str = "floor(extract(epoch FROM clock_timestamp()) * 1000)::int8";

/// A value of a parameter. Its `Debug`, which the driver logs, shows nothing.
struct Hidden(Box<dyn ToSql + Send + Sync>);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl ToSql for Hidden {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.to_sql_checked(kind, out)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// The parameters of a statement, numbered as they are added.
#[derive(Debug, Default)]
pub(crate) struct Params {
    values: Vec<Hidden>,
    types: Vec<Type>,
}

impl Params {
    /// Adds a parameter and returns its mark.
    pub(crate) fn add(&mut self, value: impl ToSql + Send + Sync + 'static, kind: Type) -> String {
        let mark = format!("${}::{}", self.values.len() + 1, name_of(&kind));
        self.push(value, kind);
        mark
    }

    /// Adds a parameter whose mark is known.
    pub(crate) fn push(&mut self, value: impl ToSql + Send + Sync + 'static, kind: Type) {
        self.values.push(Hidden(Box::new(value)));
        self.types.push(kind);
    }

    pub(crate) fn text(&mut self, value: impl Into<String>) -> String {
        self.add(value.into(), Type::TEXT)
    }

    pub(crate) fn texts<T: ToSql + Send + Sync + 'static>(&mut self, values: Vec<T>) -> String {
        self.add(values, Type::TEXT_ARRAY)
    }

    pub(crate) fn instant(&mut self, at: Timestamp) -> String {
        self.add(Instant(at), Type::TIMESTAMPTZ)
    }

    pub(crate) fn types(&self) -> &[Type] {
        &self.types
    }

    pub(crate) fn typed(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        let values = self.values.iter().map(|value| value as &(dyn ToSql + Sync));
        values.zip(self.types.iter().cloned()).collect()
    }

    pub(crate) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| value as &(dyn ToSql + Sync)).collect()
    }
}

fn name_of(kind: &Type) -> String {
    match kind.name().strip_prefix('_') {
        Some(element) => format!("{element}[]"),
        None => kind.name().to_owned(),
    }
}

/// An instant as a `timestamptz`, to the millisecond, whatever the session's settings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant(pub(crate) Timestamp);

/// 2000-01-01T00:00:00Z, the zero of PostgreSQL's timestamps, in milliseconds since 1970.
const EPOCH_MS: i64 = 946_684_800_000;

impl ToSql for Instant {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let micros = self.0.as_millis().checked_sub(EPOCH_MS).and_then(|ms| ms.checked_mul(1000));
        let micros = micros.ok_or("an instant beyond what PostgreSQL can say")?;
        out.extend_from_slice(&micros.to_be_bytes());
        Ok(IsNull::No)
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Instant {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Instant(Timestamp::from_millis(micros.div_euclid(1000).saturating_add(EPOCH_MS))))
    }

    fn accepts(kind: &Type) -> bool {
        *kind == Type::TIMESTAMPTZ
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_stay_what_they_are() {
        assert_eq!(quoted(r#"a"; DROP TABLE b; --"#), r#""a""; DROP TABLE b; --""#);
        assert_eq!(literal(r"it's a \ '"), r"E'it''s a \\ '''");
    }

    #[test]
    fn parameters_are_numbered_and_never_shown() {
        let mut params = Params::default();
        assert_eq!(params.text("hush"), "$1::text");
        assert_eq!(params.add(vec![1_i64], Type::INT8_ARRAY), "$2::int8[]");
        assert!(!format!("{params:?}").contains("hush"));
    }
}
