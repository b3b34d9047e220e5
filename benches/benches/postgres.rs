//! What history costs on PostgreSQL: each storage call against the bare statements that an application would
//! run, prepared, on the same server and the same rows. Needs `CFG_TEST_POSTGRES_URI`.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use cfg_engine::Value;
use cfg_engine::adapter::{AsOf, Batch, Detail, Scope, StorageAdapter};
use cfg_engine::config::{CollectionConfig, Settings, Shape};
use cfg_engine::engine::{Adopt, Import, Options, Project};
use cfg_engine::history::{Author, AuthorClass, CollectionName, EnvName, IdKey, OpId, RecordKey, Timestamp};
use cfg_engine_benches::{commit_of, document};
use cfg_engine_postgres::{PostgresAdapter, PostgresOptions};
use criterion::{BatchSize, Criterion, Throughput};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls, Statement};

const WRITERS: usize = 8;
/// Records and versions of each where time travel is measured.
const RECORDS: usize = 10_000;
const VERSIONS: usize = 100;

struct Store {
    adapter: Arc<PostgresAdapter>,
    app: Client,
    update: Statement,
    env: EnvName,
    ops: u64,
}

async fn connect(uri: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(uri, NoTls).await.unwrap();
    tokio::spawn(async move {
        let _ = connection.await;
    });
    client.batch_execute("SET search_path = bench; SET synchronous_commit = on").await.unwrap();
    client
}

fn agents() -> CollectionConfig {
    let mut config = CollectionConfig::new(CollectionName::new("agents").unwrap(), "id");
    config.shape = Shape::Doc;
    config.table = "bench.agents".to_owned();
    config
}

impl Store {
    /// A table of so many records, without history, reached by `through`.
    async fn new(uri: &str, through: &str, records: usize) -> Self {
        let app = connect(uri).await;
        let schema = "DROP SCHEMA IF EXISTS bench CASCADE; DROP SCHEMA IF EXISTS bench_history CASCADE; \
                      CREATE SCHEMA bench; CREATE TABLE bench.agents (id text PRIMARY KEY, doc jsonb NOT NULL)";
        app.batch_execute(schema).await.unwrap();
        let (ids, docs): (Vec<String>, Vec<String>) =
            (0..records).map(|n| (format!("agent-{n:05}"), document(n, 2048))).unzip();
        app.execute(
            "INSERT INTO agents SELECT i, d::jsonb FROM unnest($1::text[], $2::text[]) u(i, d)",
            &[&ids, &docs],
        )
        .await
        .unwrap();
        app.batch_execute("VACUUM ANALYZE agents").await.unwrap();
        let options =
            PostgresOptions { schema: "bench_history".to_owned(), ..PostgresOptions::new(through, vec![agents()]) };
        let adapter = Arc::new(PostgresAdapter::open(options).await.unwrap());
        adapter.ensure_schema().await.unwrap();
        let app = if uri == through { app } else { connect(through).await };
        let update = app.prepare("UPDATE agents SET doc = $2::text::jsonb WHERE id = $1").await.unwrap();
        let env = EnvName::new("dev").unwrap();
        Store { adapter, app, update, env, ops: 0 }
    }

    fn record(&self, n: usize) -> RecordKey {
        RecordKey {
            env: self.env.clone(),
            collection: CollectionName::new("agents").unwrap(),
            id: IdKey::from_value(&Value::from(format!("agent-{n:05}"))).unwrap(),
        }
    }

    async fn commit(&mut self, records: std::ops::Range<usize>, to: i64) -> Batch {
        let scope = Scope::Records(records.map(|n| self.record(n)).collect());
        let states: Vec<_> = self.adapter.records(&self.env, &scope).try_concat().await.unwrap();
        let at = self.adapter.clock().await.unwrap().store;
        let newest = states.iter().filter_map(|s| s.head.as_ref()).map(|h| h.tip.recorded_at).max();
        let at = newest.map_or(at, |tip| at.max(tip.plus_millis(1)));
        self.ops += 1;
        commit_of(states, at, &OpId::new(&format!("op-{}", self.ops)).unwrap(), to)
    }

    fn project(&self) -> Project {
        let author = Author { id: "bench@example.com".to_owned(), class: AuthorClass::Pipeline };
        Project::new(self.adapter.clone(), Settings::new(self.env.clone(), author))
    }
}

/// One changed value of a 2 KB document: the application's durable update, and ours with its entry.
fn commit(c: &mut Criterion, runtime: &Runtime, uri: &str, through: &str, name: &str) {
    let mut group = c.benchmark_group(name);
    if uri != through {
        group.sample_size(10);
    }
    let mut store = runtime.block_on(Store::new(uri, through, 1000));
    let mut n = 0;
    group.bench_function("bare update", |b| {
        b.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    n += 1;
                    let (id, doc) = (format!("agent-{:05}", n * 37 % 1000), document(n, 2048));
                    let start = Instant::now();
                    store.app.execute(&store.update, &[&id, &doc]).await.unwrap();
                    spent += start.elapsed();
                }
                spent
            })
        });
    });
    group.bench_function("apply", |b| {
        b.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    n += 1;
                    let at = n * 37 % 1000;
                    let batch = store.commit(at..at + 1, n as i64).await;
                    let start = Instant::now();
                    store.adapter.apply(&batch).await.unwrap();
                    spent += start.elapsed();
                }
                spent
            })
        });
    });
    group.finish();
}

/// What a history costs that is written by hand: the number of a head, the end of the older interval, an entry,
/// the live row. Nothing is compared but the head's number.
struct ByHand {
    writers: Vec<(Client, Statement)>,
    seq: AtomicI64,
}

/// What the entries written by hand are kept in.
#[derive(Clone, Copy)]
enum Kept {
    /// Five columns, the primary key, and the constraint that no two versions are valid at once.
    ConstraintAlone,
    /// All columns and indexes that the adapter's table has.
    AsTheAdapter,
}

impl ByHand {
    async fn new(uri: &str, store: &Store, records: usize, kept: Kept) -> Arc<Self> {
        const OPEN: &str = "'9999-12-31 23:59:59.999+00'::timestamptz";
        const HASH: &str = "sha256('a')";
        // The columns between the ends of validity and the document.
        let (table, between) = match kept {
            Kept::ConstraintAlone => (
                "record_no int8, seq int8, valid_from timestamptz, valid_to timestamptz, doc json, \
                 PRIMARY KEY (record_no, seq), EXCLUDE USING gist (tstzrange(valid_from, valid_to) WITH &&, \
                 int8range(record_no, record_no, '[]') WITH &&) DEFERRABLE INITIALLY DEFERRED",
                String::new(),
            ),
            Kept::AsTheAdapter => (
                "LIKE bench_history.history INCLUDING ALL",
                format!(
                    ", at, {OPEN}, FALSE, 'commit', {HASH}, {HASH}, {HASH}, 'op-1', 'ana@example.com', 'human', {HASH}, \
                     NULL, NULL, NULL, 'a change', 'present', NULL"
                ),
            ),
        };
        let numbers = format!("SELECT n AS record_no, now() AS at FROM generate_series(0, {records} - 1) n");
        let schema = format!(
            "DROP TABLE IF EXISTS bench.heads, bench.history; CREATE TABLE bench.history ({table}); \
             CREATE TABLE bench.heads (record_no int8 PRIMARY KEY, seq int8 NOT NULL) WITH (fillfactor = 50); \
             INSERT INTO bench.heads SELECT n, 1 FROM generate_series(0, {records} - 1) n; \
             INSERT INTO bench.history SELECT record_no, 1, at, {OPEN}{between}, '{{}}' FROM ({numbers}) x"
        );
        store.app.batch_execute(&schema).await.unwrap();
        let sql = format!(
            "WITH pointed AS (UPDATE heads SET seq = seq + 1 WHERE record_no = $1 AND seq = $2 RETURNING record_no), \
             closed AS (UPDATE history h SET valid_to = clock_timestamp() FROM pointed p \
             WHERE h.record_no = p.record_no AND h.seq = $2 RETURNING h.record_no, h.valid_to AS at), \
             entered AS (INSERT INTO history SELECT record_no, $2 + 1, at, {OPEN}{between}, $3::text::json FROM closed \
             RETURNING 1) UPDATE agents SET doc = $3::text::jsonb FROM entered WHERE id = $4"
        );
        let writers = join_all((0..WRITERS).map(|_| async {
            let client = connect(uri).await;
            // As the adapter's own connections are set.
            client.batch_execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off").await.unwrap();
            let statement = client.prepare(&sql).await.unwrap();
            (client, statement)
        }));
        Arc::new(ByHand { writers: writers.await, seq: AtomicI64::new(0) })
    }

    async fn commit(&self, writer: usize, at: usize, n: usize) {
        let (client, statement) = &self.writers[writer];
        let (record, seq) = (i64::try_from(at).unwrap(), self.seq.load(Ordering::Relaxed));
        let (doc, id) = (document(n, 2048), format!("agent-{at:05}"));
        let done = client.execute(statement, &[&record, &seq, &doc, &id]).await.unwrap();
        assert_eq!(done, 1);
    }
}

/// Eight at once, each on records of its own.
fn writers(c: &mut Criterion, runtime: &Runtime, uri: &str) {
    const EACH: usize = 25;
    let mut group = c.benchmark_group("postgres 8 writers, 2 KB");
    group.sample_size(10).throughput(Throughput::Elements((WRITERS * EACH) as u64));
    let mut store = runtime.block_on(Store::new(uri, uri, WRITERS * EACH));
    let apps = runtime.block_on(join_all((0..WRITERS).map(|_| async {
        let app = connect(uri).await;
        let update = app.prepare("UPDATE agents SET doc = $2::text::jsonb WHERE id = $1").await.unwrap();
        Arc::new((app, update))
    })));
    let mut n = 0;
    group.bench_function("bare updates", |b| {
        b.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    n += 1;
                    let start = Instant::now();
                    let tasks = apps.iter().enumerate().map(|(w, app)| {
                        let app = Arc::clone(app);
                        tokio::spawn(async move {
                            for at in 0..EACH {
                                let (id, doc) = (format!("agent-{:05}", w * EACH + at), document(n, 2048));
                                app.0.execute(&app.1, &[&id, &doc]).await.unwrap();
                            }
                        })
                    });
                    join_all(tasks.collect::<Vec<_>>()).await;
                    spent += start.elapsed();
                }
                spent
            })
        });
    });
    let by_hand = [("by hand, constraint alone", Kept::ConstraintAlone), ("by hand, same tables", Kept::AsTheAdapter)];
    for (name, kept) in by_hand {
        let by_hand = runtime.block_on(ByHand::new(uri, &store, WRITERS * EACH, kept));
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                runtime.block_on(async {
                    let mut spent = Duration::ZERO;
                    for _ in 0..rounds {
                        n += 1;
                        by_hand.seq.fetch_add(1, Ordering::Relaxed);
                        let start = Instant::now();
                        let tasks = (0..WRITERS).map(|w| {
                            let by_hand = Arc::clone(&by_hand);
                            tokio::spawn(async move {
                                for at in w * EACH..(w + 1) * EACH {
                                    by_hand.commit(w, at, n).await;
                                }
                            })
                        });
                        join_all(tasks.collect::<Vec<_>>()).await;
                        spent += start.elapsed();
                    }
                    spent
                })
            });
        });
    }
    group.bench_function("apply", |b| {
        b.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    n += 1;
                    let mut batches: Vec<Vec<Batch>> = Vec::new();
                    for w in 0..WRITERS {
                        let mut of_writer = Vec::new();
                        for at in w * EACH..(w + 1) * EACH {
                            of_writer.push(store.commit(at..at + 1, n as i64).await);
                        }
                        batches.push(of_writer);
                    }
                    let start = Instant::now();
                    let tasks = batches.into_iter().map(|batches| {
                        let adapter = Arc::clone(&store.adapter);
                        tokio::spawn(async move {
                            for batch in batches {
                                adapter.apply(&batch).await.unwrap();
                            }
                        })
                    });
                    join_all(tasks.collect::<Vec<_>>()).await;
                    spent += start.elapsed();
                }
                spent
            })
        });
    });
    group.finish();
}

/// A thousand records at once, by the verbs and by the adapter alone.
fn thousand(c: &mut Criterion, runtime: &Runtime, uri: &str) {
    let mut group = c.benchmark_group("postgres 1,000 records, 2 KB");
    group.sample_size(10).throughput(Throughput::Elements(1000));
    let because = Options::message("measured");
    group.bench_function("import", |b| {
        b.iter_batched(
            || {
                let store = runtime.block_on(Store::new(uri, uri, 1000));
                let project = store.project();
                runtime.block_on(project.init(false)).unwrap();
                (store, project)
            },
            |(store, project)| {
                runtime.block_on(project.import(&Import::default(), &because, None)).unwrap();
                store
            },
            BatchSize::PerIteration,
        );
    });
    let mut store = runtime.block_on(Store::new(uri, uri, 1000));
    let project = store.project();
    runtime.block_on(project.init(false)).unwrap();
    runtime.block_on(project.import(&Import::default(), &because, None)).unwrap();
    let mut n = 0;
    group.bench_function("adopt", |b| {
        b.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    n += 1;
                    let sql = format!("UPDATE bench.agents SET doc = jsonb_set(doc, '{{n}}', '{n}')");
                    store.app.batch_execute(&sql).await.unwrap();
                    let start = Instant::now();
                    project.adopt(&Adopt::All, &because, None).await.unwrap();
                    spent += start.elapsed();
                }
                spent
            })
        });
    });
    group.bench_function("apply", |b| {
        b.iter_custom(|rounds| {
            runtime.block_on(async {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    n += 1;
                    let batch = store.commit(0..1000, n + 1_000_000).await;
                    let start = Instant::now();
                    store.adapter.apply(&batch).await.unwrap();
                    spent += start.elapsed();
                }
                spent
            })
        });
    });
    group.finish();
}

/// Fills history with a million entries, an hour apart for each record, without going through the tool.
async fn million(store: &Store) {
    let sql = format!(
        "ALTER TABLE bench_history.history DROP CONSTRAINT history_no_overlap; \
         INSERT INTO bench_history.records (env, collection, id_key) \
         SELECT 'dev', 'agents', to_json('agent-' || lpad(n::text, 5, '0'))::text FROM generate_series(0, {RECORDS} - 1) n; \
         INSERT INTO bench_history.history (record_no, seq, valid_from, valid_to, recorded_at, superseded_at, \
         valid_from_estimated, op, oid, entry_id, op_id, author_id, author_class, message_hash, message, doc_state, doc) \
         SELECT r.record_no, v, t, CASE WHEN v = {VERSIONS} THEN '9999-12-31 23:59:59.999+00' ELSE t + interval '1 hour' END, t, \
         CASE WHEN v = {VERSIONS} THEN '9999-12-31 23:59:59.999+00' ELSE t + interval '1 hour' END, false, 'commit', h, h, 'op', \
         'ana@example.com', 'human', h, 'a change', 'present', \
         json_build_object('model', 'large', 'n', r.record_no, 'version', v, 'prompt', repeat('Plan the work. ', 12)) \
         FROM generate_series(1, {VERSIONS}) v CROSS JOIN bench_history.records r \
         CROSS JOIN LATERAL (SELECT '2020-01-01 00:00:00+00'::timestamptz + v * interval '1 hour' + r.record_no * interval '1 ms' AS t, \
         sha256((r.record_no || '/' || v)::bytea) AS h) x ORDER BY t; \
         ALTER TABLE bench_history.history ADD CONSTRAINT history_no_overlap EXCLUDE USING gist \
         (tstzrange(valid_from, valid_to) WITH &&, int8range(record_no, record_no, '[]') WITH &&) DEFERRABLE INITIALLY DEFERRED; \
         VACUUM ANALYZE bench_history.history; VACUUM ANALYZE bench_history.records"
    );
    for statement in sql.split("; ") {
        store.app.batch_execute(statement).await.unwrap();
    }
}

/// The same question by hand: which version of which record, in the order of the records.
const BARE: &str = "SELECT r.env, r.collection, r.id_key, h.seq, h.oid {} FROM bench_history.history h \
                    JOIN bench_history.records r ON r.record_no = h.record_no \
                    WHERE tstzrange(h.valid_from, h.valid_to) @> $1::text::timestamptz ORDER BY 1, 2, 3";

/// What was live at an instant, over 1,000,000 entries, against the bare interval query.
fn as_of(c: &mut Criterion, runtime: &Runtime, uri: &str) {
    let mut group = c.benchmark_group("postgres as-of over 1,000,000 entries, 0.3 KB");
    group.sample_size(10).throughput(Throughput::Elements(RECORDS as u64));
    let store = runtime.block_on(Store::new(uri, uri, 0));
    runtime.block_on(million(&store));
    let scope = Scope::All(None);
    for (name, at) in
        [("old", "2020-01-01T05:30:00Z"), ("mid", "2020-01-03T02:30:00Z"), ("now", "2020-01-06T00:00:00Z")]
    {
        let valid = AsOf::Valid(Timestamp::parse_instant(at).unwrap());
        for (what, column) in [("addresses", ""), ("documents", ", h.doc::text")] {
            let bare = runtime.block_on(store.app.prepare(&BARE.replace("{}", column))).unwrap();
            group.bench_function(format!("{name}, bare {what}"), |b| {
                b.iter(|| {
                    let rows = runtime.block_on(store.app.query(&bare, &[&at])).unwrap();
                    assert_eq!(rows.len(), RECORDS);
                });
            });
        }
        group.bench_function(format!("{name}, as_of_addresses"), |b| {
            b.iter(|| {
                let rows = store.adapter.as_of_addresses(&store.env, &scope, valid).try_concat();
                assert_eq!(runtime.block_on(rows).unwrap().len(), RECORDS);
            });
        });
        group.bench_function(format!("{name}, as_of"), |b| {
            b.iter(|| {
                let rows = store.adapter.as_of(&store.env, &scope, valid, Detail::Document).try_concat();
                assert_eq!(runtime.block_on(rows).unwrap().len(), RECORDS);
            });
        });
        // What the server itself says, without the way of ten thousand rows to the client.
        let explain = format!(
            "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {}",
            BARE.replace("{}", "").replace("$1::text", &format!("'{at}'"))
        );
        group.bench_function(format!("{name}, server time of the list"), |b| {
            b.iter_custom(|rounds| {
                runtime.block_on(async {
                    let mut spent = Duration::ZERO;
                    for _ in 0..rounds {
                        let row = store.app.query_typed(&explain, &[]).await.unwrap().remove(0);
                        let plan = Value::from_json(&row.get::<_, Plan>(0).0).unwrap();
                        let plan = &plan.as_array().unwrap()[0];
                        let ms = plan.get("Execution Time").map(Value::to_json).unwrap();
                        spent += Duration::from_secs_f64(ms.parse::<f64>().unwrap() / 1000.0);
                    }
                    spent
                })
            });
        });
    }
    group.finish();
}

/// The text of a `json` value.
struct Plan(String);

impl<'a> tokio_postgres::types::FromSql<'a> for Plan {
    fn from_sql(
        _: &tokio_postgres::types::Type,
        raw: &'a [u8],
    ) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Plan(String::from_utf8(raw.to_vec())?))
    }

    fn accepts(kind: &tokio_postgres::types::Type) -> bool {
        *kind == tokio_postgres::types::Type::JSON
    }
}

/// A way to the server that takes two milliseconds in each direction. Returns its port.
async fn slow_line(server: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&server).await.unwrap();
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
            tokio::spawn(delay(from_client, to_server));
            tokio::spawn(delay(from_server, to_client));
        }
    });
    port
}

async fn delay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    const BY: Duration = Duration::from_millis(2);
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let writing = tokio::spawn(async move {
        let mut waiting = VecDeque::new();
        while let Some(next) = receiver.recv().await {
            waiting.push_back(next);
            while let Some((due, bytes)) = waiting.pop_front() {
                tokio::time::sleep_until(due.into()).await;
                if to.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if sender.send((Instant::now() + BY, buffer[..read].to_vec())).is_err() {
            break;
        }
    }
    drop(sender);
    let _ = writing.await;
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let Ok(uri) = std::env::var("CFG_TEST_POSTGRES_URI") else {
        panic!("no server; type: eval \"$(tests/servers/postgres up)\"");
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    commit(&mut criterion, &runtime, &uri, &uri, "postgres commit, 2 KB");
    let (credentials, rest) = uri.rsplit_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let port = runtime.block_on(slow_line(server.to_owned()));
    let slow = format!("{credentials}@127.0.0.1:{port}/{database}");
    commit(&mut criterion, &runtime, &uri, &slow, "postgres commit behind 4 ms, 2 KB");
    writers(&mut criterion, &runtime, &uri);
    thousand(&mut criterion, &runtime, &uri);
    as_of(&mut criterion, &runtime, &uri);
    runtime.block_on(async {
        let app = connect(&uri).await;
        app.batch_execute("DROP SCHEMA bench CASCADE; DROP SCHEMA bench_history CASCADE").await.unwrap();
    });
    criterion.final_summary();
}
