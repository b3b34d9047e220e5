//! A live table as the database describes it, and how its rows are named in SQL.

use cfg_engine::Value;
use std::collections::BTreeMap;

use cfg_engine::adapter::{AdapterError, Strays};
use cfg_engine::config::{CollectionConfig, IdType, Shape};
use cfg_engine::document::Object;
use cfg_engine::history::{CollectionName, IdKey};
use tokio_postgres::Row;

use crate::column::{Cell, Column, Default, Kind, Writer};
use crate::connection::{Conn, fixed_settings};
use crate::errors::{OrAdapterError, setup};
use crate::rule::Rule;
use crate::single;
use crate::sql::{Params, literal, quoted};

/// A collection's live table: its columns, and how a row is found.
#[derive(Debug)]
pub(crate) struct LiveTable {
    /// The configuration, completed by what the table says.
    pub(crate) config: CollectionConfig,
    /// The table's full name, quoted.
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    /// The places of the id's columns, in the order of the configuration.
    pub(crate) id: Vec<usize>,
    /// The place of the document's column, in the doc shape.
    pub(crate) doc: Option<usize>,
    pub(crate) rule: Rule,
    /// Whether triggers may change a row as it is written.
    pub(crate) has_row_triggers: bool,
    /// SQL for a text that changes when the columns do.
    pub(crate) fingerprint_sql: String,
    pub(crate) fingerprint: Option<String>,
    /// A condition that makes every column print its one text; `TRUE` where that needs none.
    pub(crate) settings: String,
    /// The statements that were written for changes of one record.
    pub(crate) single: single::Texts,
}

struct Relation {
    oid: u32,
    schema: String,
    name: String,
}

impl LiveTable {
    /// Reads what the database knows of a collection's table.
    ///
    /// # Errors
    ///
    /// [`AdapterError::Setup`] naming what is missing.
    pub(crate) async fn describe(conn: &Conn, config: &CollectionConfig) -> Result<Self, AdapterError> {
        let relation = relation(conn, config).await?;
        let (mut columns, has_row_triggers, enums) = columns(conn, config, &relation).await?;
        let place = |name: &str| -> Result<usize, AdapterError> {
            columns.iter().position(|c| c.name == name).ok_or_else(|| missing_column(config, name, &columns))
        };
        let id = config.id_fields.iter().map(|field| place(field)).collect::<Result<Vec<_>, _>>()?;
        let doc = match config.shape {
            Shape::Doc => Some(place(&config.doc_column)?),
            Shape::Row => None,
        };
        check_kinds(config, &columns, &id, doc)?;
        for at in &id {
            // An id is the record's own, whoever makes up its value.
            columns[*at].writer = Writer::Anyone;
        }
        let rule = Rule::new(config, &columns)?;
        let shown: Vec<&Column> = doc.map_or_else(|| columns.iter().collect(), |at| vec![&columns[at]]);
        let needs_settings = shown.iter().any(|column| column.needs_settings());
        let settings = if needs_settings { fixed_settings() } else { "TRUE".to_owned() };
        let fingerprint_sql = fingerprint(relation.oid, &enums);
        let rows = conn.rows(&format!("SELECT {fingerprint_sql}"), &Params::default()).await.sql()?;
        let fingerprint = rows.first().map(|row| row.try_get(0).sql()).transpose()?.flatten();
        Ok(LiveTable {
            config: completed(config, &columns, &id),
            name: format!("{}.{}", quoted(&relation.schema), quoted(&relation.name)),
            columns,
            id,
            doc,
            rule,
            has_row_triggers,
            fingerprint_sql,
            fingerprint,
            settings,
            single: single::Texts::default(),
        })
    }

    /// Returns the place of a column.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// Returns whether a column takes part in the live rule or the id.
    pub(crate) fn decides_liveness(&self, at: usize) -> bool {
        let name = self.columns[at].name.as_str();
        self.id.contains(&at) || self.config.live_when.conditions().iter().any(|(field, _)| field == name)
    }

    /// Returns the places of the columns that make the document.
    pub(crate) fn shown(&self) -> Vec<usize> {
        self.doc.map_or_else(|| (0..self.columns.len()).collect(), |at| vec![at])
    }

    /// Returns SQL for the texts of the id's columns and of the document, in this order.
    pub(crate) fn select(&self, prefix: &str) -> String {
        let places = self.id.iter().copied().chain(self.shown());
        places.map(|at| self.columns[at].read_sql(prefix)).collect::<Vec<_>>().join(", ")
    }

    /// Returns how many columns [`select`](Self::select) has.
    pub(crate) fn selected(&self) -> usize {
        self.id.len() + self.shown().len()
    }

    /// Returns SQL that compares the id's columns with texts.
    pub(crate) fn id_is(&self, prefix: &str, texts: &[String]) -> String {
        let one = |(at, text): (&usize, &String)| {
            let column = &self.columns[*at];
            format!("{prefix}{} = {}", quoted(&column.name), column.write_sql(text))
        };
        self.id.iter().zip(texts).map(one).collect::<Vec<_>>().join(" AND ")
    }

    /// Returns SQL for the key of a row's id, as [`IdKey`] writes it; NULL where it is no id.
    pub(crate) fn id_key_sql(&self, prefix: &str) -> String {
        let part = |at: usize| {
            let column = &self.columns[at];
            let name = format!("{prefix}{}", quoted(&column.name));
            match &column.kind {
                Kind::Int(_) => format!("{name}::text"),
                Kind::Numeric(_) => format!("CASE WHEN {name} = trunc({name}) THEN trim_scale({name})::text END"),
                Kind::Uuid => format!(
                    "'{{\"$binary\":{{\"base64\":\"' || encode(uuid_send({name}), 'base64') || '\",\"subType\":\"04\"}}}}'"
                ),
                _ => format!("to_json({name}::text)::text"),
            }
        };
        if let [only] = self.id.as_slice() {
            return part(*only);
        }
        let mut members: Vec<(&str, usize)> =
            self.config.id_fields.iter().map(String::as_str).zip(self.id.iter().copied()).collect();
        members.sort_unstable();
        let member = |(n, (name, at)): (usize, &(&str, usize))| {
            let opening = format!("{}{}:", if n == 0 { "{" } else { "," }, Value::from(*name).to_json());
            format!("{} || {}", literal(&opening), part(*at))
        };
        let members: Vec<String> = members.iter().enumerate().map(member).collect();
        format!("({} || '}}')", members.join(" || "))
    }

    /// Returns the value of each id column for a record's id, in the order of the configuration.
    pub(crate) fn id_parts(&self, id: &IdKey) -> Option<Vec<Value>> {
        let id = id.to_value();
        match self.config.id_fields.as_slice() {
            [_] => Some(vec![id]),
            fields => fields.iter().map(|field| id.get(field).cloned()).collect(),
        }
    }

    /// Returns the texts that find a record's row; `None` for an id that no row can have.
    pub(crate) fn id_texts(&self, id: &IdKey) -> Option<Vec<String>> {
        let parts = self.id_parts(id)?;
        parts.iter().zip(&self.id).map(|(part, at)| self.columns[*at].write(part).ok().flatten()).collect()
    }

    /// Returns the record id that a row holds, `first` being the place of the id's first column.
    /// `None` for what cannot be an id (NULL, a fraction): such a row is no record.
    pub(crate) fn id_of(&self, row: &Row, first: usize) -> Result<Option<IdKey>, AdapterError> {
        let mut parts = Vec::with_capacity(self.id.len());
        for (n, at) in self.id.iter().enumerate() {
            let cell: Option<&str> = row.try_get(first + n).sql()?;
            match self.columns[*at].read(cell) {
                Ok(Value::Null) | Err(_) => return Ok(None),
                Ok(part) => parts.push(part),
            }
        }
        let value = match self.config.id_fields.as_slice() {
            [_] => parts.remove(0),
            fields => Value::Object(fields.iter().cloned().zip(parts).collect::<Object>()),
        };
        Ok(IdKey::from_value(&value).ok())
    }

    /// Says how many live rows belong to no record because of their ids, why, and how to find them.
    pub(crate) fn strays(&self, collection: &CollectionName, reasons: &BTreeMap<&'static str, u64>) -> Option<Strays> {
        let rows: u64 = reasons.values().sum();
        let reason: Vec<String> = reasons.iter().map(|(reason, n)| format!("{n} {reason}")).collect();
        let key = self.id_key_sql("t.");
        (rows > 0).then(|| Strays {
            collection: collection.clone(),
            rows,
            reason: reason.join(", "),
            hint: format!(
                "look at them and give them ids: SELECT * FROM {} t WHERE ({key}) IS NULL OR octet_length({key}) > 1024;",
                self.name
            ),
        })
    }

    /// Returns advice about the table that is no error.
    pub(crate) async fn advice(&self, conn: &Conn) -> Result<Vec<String>, AdapterError> {
        let mut advice = Vec::new();
        let fields = self.config.id_fields.join(", ");
        let mut params = Params::default();
        let names: Vec<String> = self.config.id_fields.clone();
        let names = params.texts(names);
        let table = params.text(self.name.as_str());
        let sql = format!(
            "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = to_regclass({table}) AND i.indisvalid \
             AND (SELECT array_agg(a.attname::text ORDER BY a.attname::text) FROM pg_catalog.pg_attribute a \
             WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:{}])) = \
             (SELECT array_agg(n ORDER BY n) FROM unnest({names}) n))",
            self.id.len() - 1
        );
        let rows = conn.rows(&sql, &params).await.sql()?;
        if !rows.first().map_or(Ok(true), |row| row.try_get(0).sql())? {
            let quoted_fields: Vec<String> = self.config.id_fields.iter().map(|field| quoted(field)).collect();
            advice.push(format!(
                "table {} has no index that starts with {fields}, so finding one record reads the whole table; create \
                 one: CREATE INDEX ON {} ({});",
                self.config.table,
                self.name,
                quoted_fields.join(", "),
            ));
        }
        Ok(advice)
    }
}

/// Finds the table: by its name on the search path, or as `schema.table`.
async fn relation(conn: &Conn, config: &CollectionConfig) -> Result<Relation, AdapterError> {
    let mut params = Params::default();
    let whole = params.text(quoted(&config.table));
    let split = match config.table.split_once('.') {
        Some((schema, table)) => params.text(format!("{}.{}", quoted(schema), quoted(table))),
        None => "NULL::text".to_owned(),
    };
    let sql = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.oid = COALESCE(to_regclass({whole}), to_regclass({split}))"
    );
    let rows = conn.rows(&sql, &params).await.sql()?;
    let Some(row) = rows.first() else {
        return Err(setup(
            format!("there is no table {} (collection {})", config.table, config.name),
            "name the live table with `table = \"…\"`, with its schema where it is not on the search path, or create it",
        ));
    };
    let kind: String = row.try_get(3).sql()?;
    let kind = match kind.as_str() {
        "r" | "p" => {
            return Ok(Relation {
                oid: row.try_get(0).sql()?,
                schema: row.try_get(1).sql()?,
                name: row.try_get(2).sql()?,
            });
        }
        "v" => "a view",
        "m" => "a materialized view",
        "f" => "a foreign table",
        _ => "no table",
    };
    Err(setup(
        format!("{} (collection {}) is {kind}, and live records are kept in tables", config.table, config.name),
        "name the table behind it",
    ))
}

/// SQL for a text that is another one as soon as a column is added, dropped or altered.
fn fingerprint(oid: u32, enums: &[u32]) -> String {
    let columns = format!(
        "(SELECT string_agg(a.xmin::text, ',' ORDER BY a.attnum) FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = {oid} AND a.attnum > 0)"
    );
    if enums.is_empty() {
        return columns;
    }
    let enums: Vec<String> = enums.iter().map(u32::to_string).collect();
    format!(
        "{columns} || ';' || (SELECT count(*)::text FROM pg_catalog.pg_enum e WHERE e.enumtypid IN ({}))",
        enums.join(", ")
    )
}

/// Reads the columns, whether there are triggers on rows, and the enums among the types.
async fn columns(
    conn: &Conn,
    config: &CollectionConfig,
    relation: &Relation,
) -> Result<(Vec<Column>, bool, Vec<u32>), AdapterError> {
    let oid = relation.oid;
    // A domain is the type below it, with the length that one of them says.
    let sql = format!(
        "WITH RECURSIVE typed AS (SELECT a.attnum, a.atttypid AS type, a.atttypmod AS mod FROM pg_catalog.pg_attribute a \
         WHERE a.attrelid = {oid} AND a.attnum > 0 AND NOT a.attisdropped \
         UNION ALL SELECT c.attnum, t.typbasetype, CASE WHEN c.mod = -1 THEN t.typtypmod ELSE c.mod END \
         FROM typed c JOIN pg_catalog.pg_type t ON t.oid = c.type WHERE t.typtype = 'd') \
         SELECT a.attname::text, b.oid, c.mod, format_type(b.oid, -1), b.typtype::text, b.typcategory::text, \
         b.typelem, e.typtype::text, e.typcategory::text, format_type(e.oid, -1), a.attnotnull, \
         a.attidentity::text <> '' OR a.attgenerated::text <> '', pg_get_expr(d.adbin, d.adrelid), \
         (SELECT array_agg(l.enumlabel::text ORDER BY l.enumsortorder) FROM pg_catalog.pg_enum l \
         WHERE l.enumtypid IN (b.oid, e.oid)), \
         EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g WHERE g.tgrelid = {oid} AND NOT g.tgisinternal \
         AND g.tgenabled <> 'D' AND g.tgtype & 1 = 1) \
         FROM typed c JOIN pg_catalog.pg_type b ON b.oid = c.type AND b.typtype <> 'd' \
         JOIN pg_catalog.pg_attribute a ON a.attrelid = {oid} AND a.attnum = c.attnum \
         LEFT JOIN pg_catalog.pg_type e ON e.oid = b.typelem AND b.typcategory = 'A' \
         LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = {oid} AND d.adnum = c.attnum ORDER BY c.attnum"
    );
    let rows = conn.rows(&sql, &Params::default()).await.sql()?;
    let (mut columns, mut has_triggers, mut enums) = (Vec::new(), false, Vec::new());
    for row in &rows {
        let name: String = row.try_get(0).sql()?;
        let mut found = Type {
            oid: row.try_get(1).sql()?,
            modifier: row.try_get(2).sql()?,
            sql: row.try_get(3).sql()?,
            form: row.try_get(4).sql()?,
            category: row.try_get(5).sql()?,
            labels: row.try_get::<_, Option<Vec<String>>>(13).sql()?.unwrap_or_default(),
        };
        let kind = if found.category == "A" {
            let element = Type {
                oid: row.try_get(6).sql()?,
                modifier: found.modifier,
                sql: row.try_get::<_, Option<String>>(9).sql()?.unwrap_or_default(),
                form: row.try_get::<_, Option<String>>(7).sql()?.unwrap_or_default(),
                category: row.try_get::<_, Option<String>>(8).sql()?.unwrap_or_default(),
                labels: std::mem::take(&mut found.labels),
            };
            if element.form == "e" {
                enums.push(element.oid);
            }
            element.kind().map(|kind| Kind::Array(Box::new(kind)))
        } else {
            if found.form == "e" {
                enums.push(found.oid);
            }
            found.kind()
        };
        let Some(kind) = kind else {
            return Err(setup(
                format!(
                    "column {name} of table {} (collection {}) is of type {}, whose values cannot be kept and written back",
                    config.table, config.name, found.sql
                ),
                "give the column another type, or move it to a table of its own",
            ));
        };
        let database: bool = row.try_get(11).sql()?;
        let expression: Option<String> = row.try_get(12).sql()?;
        let mut column = Column {
            name,
            type_sql: found.sql,
            kind,
            not_null: row.try_get(10).sql()?,
            writer: if database { Writer::Database } else { Writer::Anyone },
            default: Default::None,
        };
        if let Some(expression) = expression.filter(|_| !database) {
            column.default = evaluate(conn, &expression, &column).await?;
        }
        has_triggers = row.try_get(14).sql()?;
        columns.push(column);
    }
    Ok((columns, has_triggers, enums))
}

/// A column's type, domains looked through.
struct Type {
    oid: u32,
    modifier: i32,
    sql: String,
    form: String,
    category: String,
    labels: Vec<String>,
}

impl Type {
    /// Returns what the type is to the engine; `None` for one whose text does not say its value.
    fn kind(&self) -> Option<Kind> {
        let longest = usize::try_from(self.modifier - 4).ok();
        Some(match self.oid {
            16 => Kind::Bool,
            17 => Kind::Bytea,
            20 => Kind::Int(8),
            21 => Kind::Int(2),
            23 => Kind::Int(4),
            25 => Kind::Text { longest: None, padded: false },
            // `name` has room for 63 bytes.
            19 => Kind::Text { longest: Some(63), padded: false },
            114 => Kind::Json,
            700 => Kind::Float4,
            701 => Kind::Float8,
            790 => Kind::Money,
            1042 => Kind::Text { longest, padded: true },
            1043 => Kind::Text { longest, padded: false },
            1184 => Kind::Moment(u32::try_from(self.modifier).unwrap_or(6)),
            1700 => Kind::Numeric((self.modifier >= 4).then(|| {
                let packed = i64::from(self.modifier) - 4;
                // The scale has eleven bits, the highest of them its sign.
                (packed >> 16, ((packed & 0x7ff) ^ 0x400) - 0x400)
            })),
            2950 => Kind::Uuid,
            3802 => Kind::Jsonb,
            _ if self.form == "e" => Kind::Enum(self.labels.clone()),
            // The system's own: what they print names objects that a search path or a dump renames.
            _ if self.form == "p" || self.sql.starts_with("reg") || self.sql == "aclitem" => return None,
            _ if self.category == "Z" && self.sql != "\"char\"" => return None,
            // Text by another name, such as citext.
            _ if self.category == "S" => Kind::Text { longest: None, padded: false },
            _ if self.category == "A" => return None,
            _ => Kind::Store(self.sql.clone()),
        })
    }
}

/// Evaluates a column's default, unless it may say something else each time.
async fn evaluate(conn: &Conn, expression: &str, column: &Column) -> Result<Default, AdapterError> {
    if !is_constant(expression) {
        return Ok(Default::Varies);
    }
    let value = column.read_sql("d.");
    let sql = format!(
        "SELECT {value} FROM (SELECT ({expression})::{} AS {} OFFSET 0) d WHERE {}",
        column.type_sql,
        quoted(&column.name),
        fixed_settings()
    );
    let Ok(rows) = conn.rows(&sql, &Params::default()).await else { return Ok(Default::Varies) };
    let cell: Cell = rows.first().map(|row| row.try_get(0).sql()).transpose()?.flatten();
    Ok(cell.map_or(Default::None, Default::Constant))
}

/// Returns whether an expression is a literal with casts and nothing that is called.
fn is_constant(expression: &str) -> bool {
    let mut rest = expression.trim_start_matches('(');
    if let Some(quoted) = rest.strip_prefix(['\'']).or_else(|| rest.strip_prefix("E'")) {
        let Some(end) = quoted.replace("''", "  ").find('\'') else { return false };
        rest = &quoted[end + 1..];
    } else {
        let end = rest.find([':', ')']).unwrap_or(rest.len());
        let word = rest[..end].trim().trim_start_matches('-');
        let literal = matches!(word, "true" | "false" | "NULL") || word.parse::<f64>().is_ok();
        if !literal {
            return false;
        }
        rest = &rest[end..];
    }
    // What is left may only be casts: `)::numeric(10,2)`.
    let cast = |text: &str| {
        text.is_empty()
            || text
                .chars()
                .all(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '.' | '"' | '(' | ')' | ',' | '[' | ']'))
    };
    let mut pieces = rest.split("::");
    let before = pieces.next().unwrap_or_default();
    before.chars().all(|c| c == ')') && pieces.all(cast)
}

fn missing_column(config: &CollectionConfig, name: &str, columns: &[Column]) -> AdapterError {
    let near = columns.iter().find(|c| c.name.eq_ignore_ascii_case(name));
    let hint = match near {
        Some(column) => format!("it has {}: write the name as the table has it", column.name),
        None => {
            let names: Vec<&str> = columns.iter().map(|c| c.name.as_str()).collect();
            format!("it has {}", names.join(", "))
        }
    };
    setup(format!("table {} (collection {}) has no column {name}", config.table, config.name), hint)
}

fn check_kinds(
    config: &CollectionConfig,
    columns: &[Column],
    id: &[usize],
    doc: Option<usize>,
) -> Result<(), AdapterError> {
    let table = format!("table {} (collection {})", config.table, config.name);
    if let Some(at) = doc
        && !columns[at].is_json()
    {
        return Err(setup(
            format!(
                "column {} of {table} is of type {}, and a document is json or jsonb",
                columns[at].name, columns[at].type_sql
            ),
            "name the document's column with doc_column, or say shape = \"row\"",
        ));
    }
    for at in id {
        let column = &columns[*at];
        if !matches!(column.kind, Kind::Int(_) | Kind::Numeric(_) | Kind::Text { .. } | Kind::Enum(_) | Kind::Uuid) {
            return Err(setup(
                format!("column {} of {table} is of type {}, which cannot name a record", column.name, column.type_sql),
                "an id is text, a whole number or a uuid",
            ));
        }
    }
    Ok(())
}

/// Completes a configuration: the type of the ids, and columns that PostgreSQL writes as ignored fields.
fn completed(config: &CollectionConfig, columns: &[Column], id: &[usize]) -> CollectionConfig {
    let mut config = config.clone();
    if let ([only], None) = (id, config.id_type) {
        config.id_type = Some(match columns[*only].kind {
            Kind::Uuid => IdType::Uuid,
            Kind::Int(_) | Kind::Numeric(_) => IdType::Int,
            _ => IdType::String,
        });
    }
    if config.shape == Shape::Row {
        let own = |(at, column): &(usize, &Column)| column.writer == Writer::Database && !id.contains(at);
        for (_, column) in columns.iter().enumerate().filter(own) {
            config.policy = config.policy.with_ignored_field(&column.name);
        }
    }
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_told_from_calls() {
        for constant in
            ["'a'::text", "5", "(-1)", "'{}'::jsonb", "true", "NULL::text", "0.5::numeric(10,2)", "'it''s'::text"]
        {
            assert!(is_constant(constant), "{constant}");
        }
        for call in
            ["now()", "nextval('s'::regclass)", "CURRENT_TIMESTAMP", "'a'::text || 'b'::text", "gen_random_uuid()"]
        {
            assert!(!is_constant(call), "{call}");
        }
    }
}
