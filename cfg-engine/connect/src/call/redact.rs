//! `redact` and `secrets_scan`.

use cfg_engine::engine::{Progress, Project, Redact, RedactReport, SecretScan, parse_versions};
use cfg_engine::history::{RecordKey, Seq};
use cfg_engine::{Error, Value};

use super::args::{Args, usage};
use super::{Answer, Session};
use crate::staging::Staging;

impl Session {
    /// `redact`: `id`, `paths`, `versions` (numbers, or text such as `"2-5"`), `messages`, `rewrite_history`; or
    /// `resume`: true, or the token of one that was begun.
    pub(super) async fn redact(&self, mut args: Args) -> Result<Answer, Error> {
        let project = self.writer()?;
        let options = self.options(&mut args)?;
        let report = match args.take("resume") {
            None | Some(Value::Bool(false)) => {
                let redact = redaction(project, &mut args).await?;
                args.done()?;
                project.redact(&redact, &options).await?
            }
            Some(token) => {
                args.done()?;
                let token = match &token {
                    Value::Bool(true) => None,
                    Value::String(token) => Some(token.as_str()),
                    _ => return Err(usage("resume of redact must be true or a token", "give resume as true")),
                };
                project.redact_resume(token, &options).await?
            }
        };
        Ok(Answer::of(with_staged(report, &self.opened.staging())?.to_object()))
    }

    /// `secrets_scan`: `collection`, `history`, `live`; both where neither is named.
    pub(super) async fn secrets_scan(&self, mut args: Args, progress: Option<&dyn Progress>) -> Result<Answer, Error> {
        let collection = args.collection(&self.reader)?;
        let scan = SecretScan { collection, history: args.flag("history")?, live: args.flag("live")? };
        args.done()?;
        let report = self.reader.scan_secrets(&scan, progress).await?;
        Ok(Answer::judged(report.to_object(), report.exit_code(), report.errors()))
    }
}

/// Redacts what is staged of the record, too, and says so in the report.
///
/// # Errors
///
/// Where the staged file cannot be read or written.
pub fn with_staged(mut report: RedactReport, staging: &Staging) -> Result<RedactReport, Error> {
    report.places.extend(staging.redact(&report.record, &report.paths, report.dry_run)?);
    Ok(report)
}

async fn redaction(project: &Project, args: &mut Args) -> Result<Redact, Error> {
    let record: RecordKey = args.record(project).await?;
    let paths = match args.take("paths") {
        None => Vec::new(),
        Some(Value::String(path)) => vec![path],
        Some(Value::Array(paths)) => {
            let texts = paths.iter().map(|path| path.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>();
            texts.ok_or_else(|| usage("a path of redact is no text", "give paths as a list of texts"))?
        }
        Some(_) => return Err(usage("paths of redact must be a list of texts", "give paths as a list of texts")),
    };
    let versions = match args.take("versions") {
        None => None,
        Some(Value::String(text)) => parse_versions(&text)?,
        Some(Value::Array(items)) => {
            let seq = |item: &Value| item.as_i64().and_then(|n| u64::try_from(n).ok()).map(Seq);
            let seqs = items.iter().map(seq).collect::<Option<Vec<Seq>>>();
            Some(seqs.ok_or_else(|| usage("a version of redact is no number", "give versions as [2, 3] or \"2-3\""))?)
        }
        Some(_) => return Err(usage("versions of redact must be a list", "give versions as [2, 3] or \"2-3\"")),
    };
    Ok(Redact {
        record,
        paths,
        versions,
        messages: args.flag("messages")?,
        rewrite_history: args.flag("rewrite_history")?,
    })
}
