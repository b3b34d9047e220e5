//! Writing the engine's own documents: a plan of objects alone through the same gates.

use super::op_ids::op_id;
use super::project::{Options, Project};
use crate::adapter::{AdapterError, ENV_OBJECT, ExpectedVersion, ObjectKey, ObjectWrite};
use crate::document::{FieldPolicy, Oid, Value, oid};
use crate::error::Error;
use crate::plan::Verb;
use crate::plan::gates::{OnRefusal, judge};

/// How often a write is tried again where only the clock was in the way.
const ATTEMPTS: u32 = 8;

impl Project {
    /// Writes objects as one batch. An unknown outcome is looked up by the last object's op_id.
    pub(crate) async fn write_objects(
        &self,
        verb: Verb,
        options: &Options,
        objects: Vec<ObjectWrite>,
    ) -> Result<(), Error> {
        let Some(last_write) = objects.last().cloned() else { return Ok(()) };
        let key = last_write.key;
        let op_id = options.idempotency_key.clone().unwrap_or_else(|| op_id(&*self.ids));
        let mut last = AdapterError::UnknownOutcome;
        let permit = options.passage.permit.as_deref();
        for _ in 0..ATTEMPTS {
            let mut plan = self.plan(verb, options, Vec::new());
            plan.objects.clone_from(&objects);
            // A request is written whatever the env asks for.
            let env = if verb == Verb::Approval { None } else { Some(self.ensure_env().await?) };
            let keeper = self.keeper(options.gate(), OnRefusal::Whole, env.as_deref(), permit);
            let (cleared, _) = judge(plan, keeper)?;
            let clock = self.adapter.clock().await?;
            let bound = cleared.bind(op_id.clone(), clock.now_at(self.adapter.monotonic()))?;
            let done = || permit.into_iter().for_each(|permit| permit.done(cleared.pieces()));
            match self.adapter.apply(&bound.batch).await {
                Ok(()) => {
                    done();
                    return Ok(());
                }
                // The env asks for something else by now.
                Err(AdapterError::StaleObject { kind, name }) if kind == ENV_OBJECT && key.kind != ENV_OBJECT => {
                    self.forget_env();
                    last = AdapterError::StaleObject { kind, name };
                }
                Err(error @ (AdapterError::UnknownOutcome | AdapterError::StaleObject { .. })) => {
                    let stored = self.adapter.objects(&key.kind, Some(&key.name)).await?;
                    let is_gone = last_write.body.is_none() && stored.is_empty();
                    if is_gone || stored.iter().any(|object| object.op_id == op_id) {
                        done();
                        return Ok(());
                    }
                    if let Some(error) = self.moved_approval(permit).await? {
                        return Err(error);
                    }
                    if matches!(error, AdapterError::StaleObject { .. }) {
                        return Err(error.into());
                    }
                    last = error;
                }
                Err(error @ AdapterError::Clock { .. }) => last = error,
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }
}

/// Makes the write of an object that is addressed by its own content.
pub(crate) fn addressed(kind: &str, body: Value) -> (String, ObjectWrite) {
    let name = address(&body).to_hex();
    let key = ObjectKey { kind: kind.to_owned(), name: name.clone() };
    (name, ObjectWrite { key, expected: ExpectedVersion::Absent, body: Some(body) })
}

/// Returns the address of an object's content.
pub(crate) fn address(body: &Value) -> Oid {
    // The engine builds these bodies itself: shallow, with whole numbers and text.
    oid(body, &FieldPolicy::default()).expect("the engine's own documents have a canonical form")
}
