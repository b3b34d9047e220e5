//! Write commands: statements in as few commands as the server's limits allow, and what the replies say.

use bson::raw::{RawArrayBuf, RawDocument, RawDocumentBuf, cstr};
use bson::{Document, rawdoc};
use mongodb::{ClientSession, Database};

use crate::errors::write_error;

/// A command larger than this is sent as several. The server takes 16 MiB and what a command needs besides.
const MAX_COMMAND_BYTES: usize = 15 * 1024 * 1024;
/// The most statements in a command.
const MAX_STATEMENTS: usize = 10_000;

/// What the commands of one kind did.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Documents found by updates, inserted, or deleted.
    pub(crate) found: u64,
    /// Documents that an update changed.
    pub(crate) modified: u64,
    /// Documents that an update inserted.
    pub(crate) upserted: u64,
}

/// Why a command did not do all it should.
#[derive(Debug)]
pub(crate) enum Failed {
    Driver(mongodb::error::Error),
    /// A write that the server refused: its code, the place of its statement, the server's text.
    Write {
        code: i32,
        place: usize,
        text: String,
    },
}

impl From<mongodb::error::Error> for Failed {
    fn from(error: mongodb::error::Error) -> Self {
        Failed::Driver(error)
    }
}

/// The commands that write.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Insert,
    Update,
    Delete,
}

/// Runs statements on one collection, inside the session's transaction where there is one.
pub(crate) async fn run(
    database: &Database,
    session: &mut ClientSession,
    kind: Kind,
    collection: &str,
    statements: &[RawDocumentBuf],
) -> Result<Written, Failed> {
    let mut written = Written::default();
    let mut done = 0;
    while done < statements.len() {
        let mut bytes = 0;
        let mut items = RawArrayBuf::new();
        let first = done;
        while let Some(statement) = statements.get(done) {
            bytes += statement.as_bytes().len() + 8;
            if done > first && (bytes > MAX_COMMAND_BYTES || done - first >= MAX_STATEMENTS) {
                break;
            }
            items.push(statement);
            done += 1;
        }
        let mut command = RawDocumentBuf::new();
        let (name, list) = match kind {
            Kind::Insert => (cstr!("insert"), cstr!("documents")),
            Kind::Update => (cstr!("update"), cstr!("updates")),
            Kind::Delete => (cstr!("delete"), cstr!("deletes")),
        };
        command.append(name, collection);
        command.append(list, items);
        let reply = database.run_raw_command(command).session(&mut *session).await?;
        if let Some((code, place)) = write_error(&reply) {
            let text = reply.get_array("writeErrors").ok().and_then(|errors| errors.first()?.as_document());
            let text = text.and_then(|error| error.get_str("errmsg").ok()).unwrap_or_default().to_owned();
            return Err(Failed::Write { code, place: first + place, text });
        }
        written.found += count(&reply, "n");
        written.modified += count(&reply, "nModified");
        written.upserted += reply.get_array("upserted").map_or(0, |list| list.len() as u64);
    }
    Ok(written)
}

fn count(reply: &Document, name: &str) -> u64 {
    let number = reply.get_i32(name).map(i64::from).or_else(|_| reply.get_i64(name));
    number.ok().and_then(|n| u64::try_from(n).ok()).unwrap_or_default()
}

/// The statement that sets and removes fields of the one document that `q` finds.
pub(crate) fn set(q: &RawDocument, update: RawDocumentBuf) -> RawDocumentBuf {
    rawdoc! { "q": q.to_owned(), "u": update, "collation": { "locale": "simple" } }
}

/// The statement that replaces the one document that `q` finds by what an expression makes of it.
pub(crate) fn edit(q: &RawDocument, document: bson::RawBson) -> RawDocumentBuf {
    let mut stages = RawArrayBuf::new();
    stages.push(rawdoc! { "$replaceWith": document });
    // What is compared is compared byte by byte, whatever collation the collection has.
    rawdoc! { "q": q.to_owned(), "u": stages, "collation": { "locale": "simple" } }
}
