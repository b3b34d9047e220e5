//! Every type there and back: read, kept, written around the tool, restored.

use cfg_engine::config::Shape;

use crate::place::Place;

/// One column of each type, and three values of it.
const COLUMNS: &[(&str, &str, [&str; 3])] = &[
    ("i2", "int2", ["'-32768'", "'1'", "NULL"]),
    ("i4", "int4", ["'2147483647'", "'0'", "'-1'"]),
    ("i8", "int8", ["'9223372036854775807'", "'9007199254740993'", "NULL"]),
    ("f4", "float4", ["'0.1'", "'3.4028235e38'", "'1e-45'"]),
    ("f8", "float8", ["'0.30000000000000004'", "'5e-324'", "'1.7976931348623157e308'"]),
    ("n", "numeric", ["'12345678901234567890123.1234567890'", "'1.10'", "'0.000'"]),
    ("n2", "numeric(12,2)", ["'1234567890.10'", "'-0.01'", "NULL"]),
    ("t", "text", ["''", "'it''s \\ \"quoted\" é'", "E'a\\nb'"]),
    ("v", "varchar(5)", ["'abcde'", "'a  '", "NULL"]),
    ("c", "char(5)", ["'ab'", "'abcde'", "''"]),
    ("nm", "name", ["'x'", "'y'", "'z'"]),
    ("b", "bool", ["'t'", "'f'", "NULL"]),
    ("u", "uuid", ["'00112233-4455-6677-8899-aabbccddeeff'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "NULL"]),
    ("by", "bytea", ["'\\x00ff10'", "''", "'\\xdeadbeef'"]),
    ("tz", "timestamptz", ["'2023-06-07 12:00:00.123+02'", "'1969-12-31 23:59:59.999Z'", "'0044-03-15 00:00:00Z BC'"]),
    ("tzu", "timestamptz", ["'2023-06-07 12:00:00.123456Z'", "'infinity'", "'294276-12-31 23:59:59.999999Z'"]),
    ("tz0", "timestamptz(0)", ["'2023-06-07 12:00:00Z'", "'2023-06-07 12:00:01Z'", "NULL"]),
    ("ts", "timestamp", ["'2023-06-07 12:00:00.123456'", "'-infinity'", "'0001-01-01 00:00:00'"]),
    ("d", "date", ["'2023-06-07'", "'4713-01-01 BC'", "'infinity'"]),
    ("ti", "time", ["'12:34:56.789012'", "'24:00:00'", "'00:00'"]),
    ("tit", "timetz", ["'12:34:56+02'", "'00:00:00-11:30'", "NULL"]),
    ("iv", "interval", ["'1 year 2 months 3 days 04:05:06.789'", "'-1 day +00:00:01'", "'0'"]),
    ("r", "tstzrange", ["'[2023-06-07 12:00:00+02,2024-01-01 00:00:00Z)'", "'empty'", "'(,)'"]),
    ("ir", "int4range", ["'[1,5)'", "'empty'", "NULL"]),
    ("mr", "datemultirange", ["'{[2023-01-01,2023-02-01),[2023-03-01,2023-04-01)}'", "'{}'", "NULL"]),
    ("j", "json", ["'{\"b\" : 1.50, \"a\":[1e2, null ]}'", "'\"x\"'", "'null'"]),
    ("jb", "jsonb", ["'{\"price\": 1.10, \"big\": 12345678901234567890.5}'", "'[1,2.00]'", "'\"1\"'"]),
    ("ai", "int4[]", ["'{1,NULL,3}'", "'{}'", "NULL"]),
    ("at", "text[]", ["'{a,\"NULL\",NULL,\"b \\\"q\\\", {c}\"}'", "'{\"\"}'", "'{x}'"]),
    ("an", "numeric[]", ["'{1.10,2.5}'", "'{12345678901234567890.1}'", "'{}'"]),
    ("aj", "jsonb[]", ["ARRAY['{\"a\": [1]}','2']::jsonb[]", "'{}'", "NULL"]),
    ("az", "timestamptz[]", ["'{2023-06-07 12:00:00Z,NULL}'", "'{}'", "'{infinity}'"]),
    ("ab", "bytea[]", ["ARRAY['\\x01'::bytea,NULL]", "'{}'", "NULL"]),
    ("aa", "int4[]", ["'{{1,2},{3,4}}'", "'[0:1]={1,2}'", "'{5}'"]),
    ("e", "mood", ["'ok'", "'not, \"so\" good'", "NULL"]),
    ("ae", "mood[]", ["'{ok,NULL}'", "'{}'", "NULL"]),
    ("dom", "positive", ["'5'", "'1'", "NULL"]),
    ("ct", "pair", ["'(1,\"2023-06-07 12:00:00+00\")'", "'(,)'", "NULL"]),
    ("m", "money", ["'12.34'", "'-0.01'", "NULL"]),
    ("ip", "inet", ["'10.0.0.1/8'", "'::1'", "NULL"]),
    ("mac", "macaddr", ["'08:00:2b:01:02:03'", "'08:00:2b:01:02:04'", "NULL"]),
    ("bt", "bit varying(8)", ["B'1010'", "B''", "NULL"]),
    ("pt", "point", ["'(0.1,0.30000000000000004)'", "'(1,2)'", "NULL"]),
    ("tv", "tsvector", ["'a:1 b:2'", "''", "NULL"]),
    ("l", "pg_lsn", ["'16/B374D848'", "'0/0'", "NULL"]),
    ("x", "xml", ["'<a b=\"1\"/>'", "'text'", "NULL"]),
];

async fn place() -> Option<Place> {
    let columns: Vec<String> = COLUMNS.iter().map(|(name, kind, _)| format!("{name} {kind}")).collect();
    let first: Vec<&str> = COLUMNS.iter().map(|(.., values)| values[0]).collect();
    let sql = format!(
        "CREATE TYPE mood AS ENUM ('ok', 'not, \"so\" good'); CREATE DOMAIN positive AS int4 CHECK (VALUE > 0); \
         CREATE TYPE pair AS (a int4, b timestamptz); \
         CREATE TABLE t (id text PRIMARY KEY, {}, gen int4 GENERATED ALWAYS AS (i4 / 2) STORED, \
         own int4 GENERATED ALWAYS AS IDENTITY); INSERT INTO t VALUES ('r', {})",
        columns.join(", "),
        first.join(", ")
    );
    Place::with(&sql).await
}

impl Place {
    /// The texts of all columns, as a session with plain settings prints them.
    async fn texts(&self) -> Vec<Option<String>> {
        let columns: Vec<String> = COLUMNS.iter().map(|(name, ..)| format!("{name}::text")).collect();
        self.row(&format!("SELECT {} FROM t WHERE id = 'r'", columns.join(", "))).await
    }

    async fn write(&self, version: usize) {
        let set: Vec<String> =
            COLUMNS.iter().map(|(name, _, values)| format!("{name} = {}", values[version])).collect();
        self.sql(&format!("UPDATE t SET {}", set.join(", "))).await;
    }
}

/// A session whose settings print everything otherwise: nothing may depend on them.
const ODD_SETTINGS: &str = "-c TimeZone=Asia/Kathmandu -c DateStyle=SQL,DMY -c IntervalStyle=postgres_verbose \
                            -c extra_float_digits=-10 -c bytea_output=escape";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_type_is_kept_and_comes_back_as_it_was() {
    let Some(place) = place().await else { return };
    let mut options = place.options(vec![place.table("t", Shape::Row)]);
    let options_word = ODD_SETTINGS.replace(' ', "%20").replace('=', "%3D").replace('/', "%2F").replace(',', "%2C");
    options.uri = format!("{}?options={options_word}", options.uri);
    let bench = place.open_with(options).await;
    bench.import().await;
    bench.assert_clean().await;
    let mut versions = vec![place.texts().await];
    for version in 1..3 {
        place.write(version).await;
        versions.push(place.texts().await);
        bench.adopt().await;
        bench.assert_clean().await;
    }
    for (n, back) in ["@1", "@3", "@2", "@1"].into_iter().enumerate() {
        bench.restore("r", back).await.unwrap_or_else(|error| panic!("{n}: {error}"));
        let wanted = &versions[back[1..].parse::<usize>().unwrap() - 1];
        for ((found, wanted), (name, ..)) in place.texts().await.iter().zip(wanted).zip(COLUMNS) {
            assert_eq!(found, wanted, "{name} as of {back}");
        }
        bench.assert_clean().await;
    }
    // A row that was deleted comes back with the same texts.
    place.sql("DELETE FROM t").await;
    bench.adopt().await;
    bench.restore("r", "@2").await.unwrap();
    assert_eq!(place.texts().await, versions[1]);
    assert_eq!(place.one("SELECT gen::text FROM t").await.as_deref(), Some("0"), "a generated column is the server's");
    bench.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_are_those_that_the_format_names() {
    let Some(place) = place().await else { return };
    let bench = place.open(place.table("t", Shape::Row)).await;
    bench.import().await;
    for (field, wanted) in [
        ("i8", "9223372036854775807"),
        ("n", "12345678901234567890123.1234567890"),
        ("u", r#"{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"04"}}"#),
        ("by", r#"{"$binary":{"base64":"AP8Q","subType":"00"}}"#),
        ("tz", r#"{"$date":{"$numberLong":"1686132000123"}}"#),
        ("tzu", r#"{"$store":{"type":"pg:timestamptz","text":"2023-06-07 12:00:00.123456+00"}}"#),
        ("d", r#"{"$store":{"type":"pg:date","text":"2023-06-07"}}"#),
        ("iv", r#"{"$store":{"type":"pg:interval","text":"P1Y2M3DT4H5M6.789S"}}"#),
        ("r", r#"{"$store":{"type":"pg:tstzrange","text":"[\"2023-06-07 10:00:00+00\",\"2024-01-01 00:00:00+00\")"}}"#),
        ("j", r#"{"b":1.5,"a":[100,null]}"#),
        ("ai", "[1,null,3]"),
        ("at", r#"["a","NULL",null,"b \"q\", {c}"]"#),
        ("e", r#""ok""#),
        ("dom", "5"),
        ("own", "1"),
    ] {
        let found = bench.field("r", field).await;
        assert!(
            found == wanted || cfg_engine::document::same(&crate::place::json(&found), &crate::place::json(wanted)),
            "{field}: {found}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jsonb_document_keeps_its_digits_and_its_scale() {
    let sql = "CREATE TABLE t (id text PRIMARY KEY, doc jsonb NOT NULL); \
               INSERT INTO t VALUES ('r', '{\"price\": 1.10, \"list\": [2.50, 12345678901234567890.25], \"n\": 1}')";
    let Some(place) = Place::with(sql).await else { return };
    let bench = place.open(place.table("t", Shape::Doc)).await;
    bench.import().await;
    bench.set("r", &["n=2"]).await.unwrap();
    let first = r#"{"n": 2, "list": [2.50, 12345678901234567890.25], "price": 1.10}"#;
    assert_eq!(place.one("SELECT doc::text FROM t").await.as_deref(), Some(first));
    bench.set("r", &["price=7", "list=[]"]).await.unwrap();
    bench.restore("r", "@2").await.unwrap();
    assert_eq!(place.one("SELECT doc::text FROM t").await.as_deref(), Some(first), "restored to the digit");
    place.sql("DELETE FROM t").await;
    bench.adopt().await;
    bench.restore("r", "@2").await.unwrap();
    assert_eq!(place.one("SELECT doc::text FROM t").await.as_deref(), Some(first), "seeded to the digit");
    bench.assert_clean().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_json_documents_text_stays_where_nothing_changes() {
    let text = r#"{ "z" : 1.50,
  "a":{"x":1e2 , "y":"\u00e9"} }"#;
    let sql = format!("CREATE TABLE t (id int8 PRIMARY KEY, doc json); INSERT INTO t VALUES (7, '{text}')");
    let Some(place) = Place::with(&sql).await else { return };
    let bench = place.open(place.table("t", Shape::Doc)).await;
    bench.import().await;
    bench.set("7", &["a.x=3"]).await.unwrap();
    let changed = text.replace("1e2", "3");
    assert_eq!(place.one("SELECT doc::text FROM t").await.as_deref(), Some(changed.as_str()));
    place.sql("DELETE FROM t").await;
    bench.adopt().await;
    bench.restore("7", "@1").await.unwrap();
    assert_eq!(place.one("SELECT doc::text FROM t").await.as_deref(), Some(text), "the text of a json column");
    bench.assert_clean().await;
}
