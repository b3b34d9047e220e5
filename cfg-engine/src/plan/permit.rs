//! A permit: an approval that is about to be used. Every batch under it moves the approval on, so that of
//! several programs that hold one only one gets anywhere.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::approval::{APPROVAL, Approval, ApprovalState};
use super::stored::{self, StoredPlan};
use super::{Plan, PlannedChange};
use crate::adapter::{ExpectedVersion, ObjectKey, ObjectWrite};
use crate::config::CollectionConfig;
use crate::document::{Oid, Value};
use crate::error::Error;
use crate::history::{RecordKey, Timestamp};
use crate::plan::gates::OnRefusal;
use crate::planted;

/// An approval that is being used for one plan.
#[derive(Debug)]
pub(crate) struct Permit {
    pub(crate) id: String,
    pub(crate) expires_at: Timestamp,
    header: Oid,
    key: [u8; 32],
    /// What was approved.
    allowed: HashSet<Oid>,
    /// Written with the first batch: the count of emergencies.
    beside: Vec<ObjectWrite>,
    running: Mutex<Running>,
}

#[derive(Debug)]
struct Running {
    approval: Approval,
    left: HashSet<Oid>,
    is_begun: bool,
}

/// What a batch under a permit writes besides, and which parts of the plan it carries out.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    pub(crate) writes: Vec<ObjectWrite>,
    pub(crate) pieces: Vec<Oid>,
}

/// What of a plan may be carried out, the records that may not be changed, and what the batch writes besides.
type Admitted = (Plan, Vec<(RecordKey, Error)>, Admission);

impl Permit {
    /// Makes the permit for what is left to do (`plan`) of what was approved (`allowed`).
    pub(crate) fn new(
        approval: Approval,
        by: &str,
        of: &Plan,
        plan: &StoredPlan,
        allowed: HashSet<Oid>,
        beside: Vec<ObjectWrite>,
    ) -> Permit {
        let approval = Approval { applied_by: Some(by.to_owned()), ..approval };
        Permit {
            id: approval.id.clone(),
            expires_at: approval.expires_at,
            header: stored::header_oid(of),
            key: approval.key.unwrap_or_default(),
            allowed,
            beside,
            running: Mutex::new(Running { left: plan.pieces().collect(), approval, is_begun: false }),
        }
    }

    /// Lets what was approved of a plan pass. What was not is refused, or left out.
    pub(crate) fn admit(
        &self,
        mut plan: Plan,
        collections: &[CollectionConfig],
        on_refusal: OnRefusal,
    ) -> Result<Admitted, Error> {
        if stored::header_oid(&plan) != self.header {
            return Err(self.differs("the verb, the author or the message is another one"));
        }
        let pieces = stored::pieces(&plan, collections, &self.key);
        let mut strange: HashSet<usize> = HashSet::new();
        let mut admitted = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let is_allowed = self.allowed.contains(&piece.digest) || planted!("approval-of-any-plan");
            match (is_allowed, piece.change) {
                (true, _) => admitted.push(piece),
                (false, Some(at)) if on_refusal == OnRefusal::LeaveOut => drop(strange.insert(at)),
                (false, Some(at)) => {
                    return Err(self.differs_for(&plan.changes[at].record));
                }
                (false, None) => return Err(self.differs("it writes something that was not shown")),
            }
        }
        admitted.retain(|piece| piece.change.is_none_or(|at| !strange.contains(&at)));
        let mut left_out = Vec::new();
        if !strange.is_empty() {
            let changes = std::mem::take(&mut plan.changes).into_iter().enumerate();
            let (out, kept): (Vec<(usize, PlannedChange)>, Vec<_>) = changes.partition(|(at, _)| strange.contains(at));
            plan.changes = kept.into_iter().map(|(_, change)| change).collect();
            left_out =
                out.into_iter().map(|(_, change)| (change.record.clone(), self.differs_for(&change.record))).collect();
        }
        let pieces: Vec<Oid> = admitted.into_iter().map(|piece| piece.digest).collect();
        let writes =
            if pieces.is_empty() || planted!("approval-not-consumed") { Vec::new() } else { self.moved_on(&pieces) };
        Ok((plan, left_out, Admission { writes, pieces }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the version of the approval that the next batch expects.
    pub(crate) fn version(&self) -> u64 {
        self.lock().approval.version
    }

    fn moved_on(&self, pieces: &[Oid]) -> Vec<ObjectWrite> {
        let running = self.lock();
        let is_last = running.left.iter().all(|left| pieces.contains(left));
        let mut next = running.approval.clone();
        next.stored = if is_last { ApprovalState::Used } else { ApprovalState::Applying };
        next.batches += 1;
        let write = ObjectWrite {
            key: ObjectKey { kind: APPROVAL.to_owned(), name: format!("{}/{}", next.env, next.id) },
            expected: ExpectedVersion::At(running.approval.version),
            body: Some(Value::Object(next.to_body())),
        };
        let beside = self.beside.iter().filter(|_| !running.is_begun).cloned();
        std::iter::once(write).chain(beside).collect()
    }

    /// Takes note that a batch was written.
    pub(crate) fn done(&self, pieces: &[Oid]) {
        if pieces.is_empty() {
            return;
        }
        let mut running = self.lock();
        running.left.retain(|left| !pieces.contains(left));
        running.approval.version += 1;
        running.approval.batches += 1;
        running.is_begun = true;
    }

    fn differs(&self, what: &str) -> Error {
        Error::conflict(
            "plan_differs",
            format!("approval {} is for another plan: {what}", self.id),
            format!("look at what was approved: cfg approval show {}   or ask anew, without --approval", self.id),
        )
    }

    fn differs_for(&self, record: &RecordKey) -> Error {
        Error::conflict_for(
            record,
            "plan_differs",
            format!("{record} is not what it was when approval {} was asked for", self.id),
            "ask anew, without --approval: the new plan needs a new approval",
        )
    }
}
