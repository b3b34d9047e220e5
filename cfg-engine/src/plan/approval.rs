//! Requests for approval: what is stored of them, what counts as a yes, and in which state they are.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::config::{Approver, Policy, PublicKey};
use crate::document::{Object, Value, from_hex, to_hex};
use crate::history::{Author, AuthorClass, EnvName, Timestamp};

/// The kind of the objects.
pub(crate) const APPROVAL: &str = "approval";

/// In which state a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApprovalState {
    /// Nobody has decided, or not yet as many as it takes.
    Pending,
    /// It may be applied, once.
    Approved,
    /// It is being applied: some of its batches are written.
    Applying,
    /// It was applied.
    Used,
    /// Somebody said no.
    Denied,
    /// Nobody decided in time, or it was not applied in time.
    Expired,
}

impl ApprovalState {
    const ALL: [ApprovalState; 6] = [
        ApprovalState::Pending,
        ApprovalState::Approved,
        ApprovalState::Applying,
        ApprovalState::Used,
        ApprovalState::Denied,
        ApprovalState::Expired,
    ];

    /// Returns the word.
    pub const fn as_str(self) -> &'static str {
        match self {
            ApprovalState::Pending => "pending",
            ApprovalState::Approved => "approved",
            ApprovalState::Applying => "applying",
            ApprovalState::Used => "used",
            ApprovalState::Denied => "denied",
            ApprovalState::Expired => "expired",
        }
    }

    /// Returns whether nothing can come of it any more.
    pub const fn is_over(self) -> bool {
        matches!(self, ApprovalState::Used | ApprovalState::Denied | ApprovalState::Expired)
    }
}

impl fmt::Display for ApprovalState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One yes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// Whose.
    pub by: String,
    /// How it was given: `local`, `signed`.
    pub provider: String,
    /// When it was stored.
    pub at: Timestamp,
    /// The signature of the statement, in base64.
    pub signature: Option<String>,
}

/// A no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Whose.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: Timestamp,
}

/// A request for approval.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Its id: what `--approval` takes.
    pub id: String,
    /// The env.
    pub env: EnvName,
    /// The verb's name.
    pub verb: String,
    /// The plan that it is for, and for no other.
    pub plan_oid: String,
    /// Who the change would be by.
    pub author: Author,
    /// The user of the operating system who asked, where one is known.
    pub operator: Option<String>,
    /// Why.
    pub message: String,
    /// Whether it goes over what others did.
    pub forced: bool,
    /// How many records it changes.
    pub changes: u64,
    /// What it writes of the engine's own objects.
    pub objects: Vec<Value>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// Until when it can be decided and applied.
    pub expires_at: Timestamp,
    /// Every yes so far.
    pub votes: Vec<Vote>,
    /// The no, if there is one.
    pub denied: Option<Denial>,
    /// Who applied it.
    pub applied_by: Option<String>,
    /// How many of its batches are written.
    pub batches: u64,
    pub(crate) stored: ApprovalState,
    pub(crate) header: String,
    pub(crate) key: Option<[u8; 32]>,
    pub(crate) object_digests: Vec<String>,
    pub(crate) parts: Vec<String>,
    pub(crate) version: u64,
}

fn author_object(author: &Author) -> Object {
    Object::new().with("id", author.id.as_str()).with("class", author.class.as_str())
}

impl Approval {
    /// Returns the state at a moment of the store's clock.
    pub fn state_at(&self, now: Timestamp) -> ApprovalState {
        match self.stored {
            ApprovalState::Used | ApprovalState::Denied => self.stored,
            _ if now >= self.expires_at => ApprovalState::Expired,
            other => other,
        }
    }

    /// Returns the votes that count under a policy: one for each person, by somebody who may, in the way that
    /// is his. A signature is checked again every time.
    pub fn counting(&self, policy: &Policy) -> Vec<&Vote> {
        let mut by_person: BTreeMap<&str, &Vote> = BTreeMap::new();
        for vote in &self.votes {
            if self.counts(vote, policy) {
                by_person.entry(vote.by.as_str()).or_insert(vote);
            }
        }
        by_person.into_values().collect()
    }

    fn counts(&self, vote: &Vote, policy: &Policy) -> bool {
        let rules = &policy.rules;
        let listed = |by: &str| rules.approvers.as_ref().and_then(|list| list.iter().find(|a| a.who == by));
        match (vote.provider.as_str(), &vote.signature) {
            ("signed", Some(signature)) => {
                let key = listed(&vote.by).and_then(|approver| approver.key);
                key.is_some_and(|key| self.statement(&vote.by).verify(signature, &key))
                    && (rules.exclude_author == Some(false) || !self.is_by(&vote.by))
            }
            ("local", None) => {
                let may = match &rules.approvers {
                    None => true,
                    Some(_) => listed(&vote.by).is_some_and(|approver| approver.key.is_none()),
                };
                may && (rules.exclude_author != Some(true) || !self.is_by(&vote.by))
            }
            _ => false,
        }
    }

    /// Returns whether somebody asked for it, under whatever author name.
    pub fn is_by(&self, who: &str) -> bool {
        self.author.id == who || self.operator.as_deref() == Some(who)
    }

    /// Returns whether there are as many votes as a policy asks for.
    pub fn is_approved(&self, policy: &Policy) -> bool {
        self.counting(policy).len() as u64 >= u64::from(policy.rules.required.max(1))
    }

    /// Returns what somebody signs who approves it.
    pub fn statement(&self, by: &str) -> Statement {
        Statement {
            env: self.env.to_string(),
            approval: self.id.clone(),
            plan_oid: self.plan_oid.clone(),
            by: by.to_owned(),
        }
    }

    pub(crate) fn to_body(&self) -> Object {
        let votes = self.votes.iter().map(|vote| {
            Object::new()
                .with("by", vote.by.as_str())
                .with("provider", vote.provider.as_str())
                .with("at", vote.at.as_millis())
                .with("signature", vote.signature.clone())
        });
        let denied = self.denied.as_ref().map(|denied| {
            Object::new()
                .with("by", denied.by.as_str())
                .with("reason", denied.reason.as_str())
                .with("at", denied.at.as_millis())
        });
        Object::new()
            .with("v", 1)
            .with("state", self.stored.as_str())
            .with("verb", self.verb.as_str())
            .with("plan_oid", self.plan_oid.as_str())
            .with("author", author_object(&self.author))
            .with("operator", self.operator.clone())
            .with("message", self.message.as_str())
            .with("forced", self.forced)
            .with("requested_at", self.requested_at.as_millis())
            .with("expires_at", self.expires_at.as_millis())
            .with("votes", votes.collect::<Vec<_>>())
            .with("denied", denied.map_or(Value::Null, Value::Object))
            .with("applied_by", self.applied_by.clone())
            .with("batches", self.batches)
            .with("changes", self.changes)
            .with("header", self.header.as_str())
            .with("key", self.key.as_ref().map(|key| to_hex(key)))
            .with("objects", self.objects.clone())
            .with("object_digests", self.object_digests.clone())
            .with("parts", self.parts.clone())
    }

    pub(crate) fn read(env: &EnvName, id: &str, version: u64, body: &Value) -> Option<Approval> {
        let text = |of: &Value, member: &str| of.get(member).and_then(Value::as_str).map(str::to_owned);
        let number = |of: &Value, member: &str| of.get(member).and_then(Value::as_i64);
        let time = |of: &Value, member: &str| number(of, member).map(Timestamp::from_millis);
        let texts = |member: &str| -> Option<Vec<String>> {
            body.get(member)?.as_array()?.iter().map(|t| t.as_str().map(str::to_owned)).collect()
        };
        let vote = |vote: &Value| {
            Some(Vote {
                by: text(vote, "by")?,
                provider: text(vote, "provider")?,
                at: time(vote, "at")?,
                signature: text(vote, "signature"),
            })
        };
        let denial = |denied: &Value| {
            Some(Denial { by: text(denied, "by")?, reason: text(denied, "reason")?, at: time(denied, "at")? })
        };
        let author = body.get("author")?;
        let state = text(body, "state")?;
        Some(Approval {
            id: id.to_owned(),
            env: env.clone(),
            verb: text(body, "verb")?,
            plan_oid: text(body, "plan_oid")?,
            author: Author { id: text(author, "id")?, class: AuthorClass::parse(&text(author, "class")?)? },
            operator: text(body, "operator"),
            message: text(body, "message")?,
            forced: body.get("forced").and_then(Value::as_bool)?,
            changes: u64::try_from(number(body, "changes")?).ok()?,
            objects: body.get("objects")?.as_array()?.to_vec(),
            requested_at: time(body, "requested_at")?,
            expires_at: time(body, "expires_at")?,
            votes: body.get("votes")?.as_array()?.iter().map(vote).collect::<Option<_>>()?,
            denied: match body.get("denied") {
                None | Some(Value::Null) => None,
                Some(denied) => Some(denial(denied)?),
            },
            applied_by: text(body, "applied_by"),
            batches: u64::try_from(number(body, "batches")?).ok()?,
            stored: ApprovalState::ALL.into_iter().find(|known| known.as_str() == state)?,
            header: text(body, "header")?,
            key: match text(body, "key") {
                None => None,
                Some(hex) => Some(from_hex(&hex)?.try_into().ok()?),
            },
            object_digests: texts("object_digests")?,
            parts: texts("parts")?,
            version,
        })
    }

    /// Returns what is shown of it at a moment.
    pub fn to_object(&self, now: Timestamp) -> Object {
        let votes = self.votes.iter().map(|vote| {
            Object::new()
                .with("by", vote.by.as_str())
                .with("provider", vote.provider.as_str())
                .with("at", vote.at.to_string())
        });
        let denied = self.denied.as_ref().map(|denied| {
            Object::new()
                .with("by", denied.by.as_str())
                .with("reason", denied.reason.as_str())
                .with("at", denied.at.to_string())
        });
        Object::new()
            .with("approval_id", self.id.as_str())
            .with("env", self.env.as_str())
            .with("state", self.state_at(now).as_str())
            .with("verb", self.verb.as_str())
            .with("plan_oid", self.plan_oid.as_str())
            .with("author", author_object(&self.author))
            .with("requested_by", self.operator.clone())
            .with("message", self.message.as_str())
            .with("forced", self.forced)
            .with("records", self.changes)
            .with("requested_at", self.requested_at.to_string())
            .with("expires_at", self.expires_at.to_string())
            .with("approved_by", votes.collect::<Vec<_>>())
            .with("denied", denied.map_or(Value::Null, Value::Object))
            .with("applied_by", self.applied_by.clone())
    }
}

/// What is signed: that somebody approves one plan under one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The env.
    pub env: String,
    /// The request.
    pub approval: String,
    /// The plan.
    pub plan_oid: String,
    /// Who signs.
    pub by: String,
}

impl Statement {
    /// Returns the bytes that are signed.
    pub fn text(&self) -> String {
        format!(
            "cfg approval 1\nenv: {}\napproval: {}\nplan: {}\nby: {}\n",
            self.env, self.approval, self.plan_oid, self.by
        )
    }

    /// Signs it with the 32 bytes of an Ed25519 key; returns the signature in base64.
    pub fn sign(&self, seed: &[u8; 32]) -> String {
        STANDARD.encode(SigningKey::from_bytes(seed).sign(self.text().as_bytes()).to_bytes())
    }

    /// Returns whether a signature is this key's.
    pub fn verify(&self, signature: &str, key: &PublicKey) -> bool {
        let signature = STANDARD.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
        let key = VerifyingKey::from_bytes(&key.0).ok();
        match (signature, key) {
            (Some(signature), Some(key)) => key.verify_strict(self.text().as_bytes(), &signature).is_ok(),
            _ => false,
        }
    }
}

/// Returns the public half of the 32 bytes of an Ed25519 key.
pub fn public_key(seed: &[u8; 32]) -> PublicKey {
    PublicKey(SigningKey::from_bytes(seed).verifying_key().to_bytes())
}

/// Returns whose key one is under a policy.
pub(crate) fn holder<'p>(policy: &'p Policy, key: &PublicKey) -> Option<&'p Approver> {
    policy.rules.approvers.as_ref()?.iter().find(|approver| approver.key.as_ref() == Some(key))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Rules;

    fn request() -> Approval {
        Approval {
            id: "a1b2c3d4e5f6".into(),
            env: EnvName::new("prod").unwrap(),
            verb: "commit".into(),
            plan_oid: "ab".repeat(32),
            author: Author { id: "ana@example.com".into(), class: AuthorClass::Human },
            operator: Some("ana".into()),
            message: "cheaper".into(),
            forced: false,
            changes: 1,
            objects: Vec::new(),
            requested_at: Timestamp::from_millis(1000),
            expires_at: Timestamp::from_millis(5000),
            votes: Vec::new(),
            denied: None,
            applied_by: None,
            batches: 0,
            stored: ApprovalState::Pending,
            header: "{}".into(),
            key: Some([7; 32]),
            object_digests: Vec::new(),
            parts: vec!["x".into()],
            version: 3,
        }
    }

    fn vote(by: &str, signature: Option<String>) -> Vote {
        let provider = if signature.is_some() { "signed" } else { "local" };
        Vote { by: by.into(), provider: provider.into(), at: Timestamp::from_millis(2000), signature }
    }

    fn policy(approvers: Option<&[&str]>) -> Policy {
        let approvers = approvers.map(|list| list.iter().map(|text| Approver::parse(text).unwrap()).collect());
        Policy { gated: true, rules: Rules { approvers, expires: Duration::from_secs(4), ..Rules::default() } }
    }

    #[test]
    fn a_request_survives_the_store() {
        let mut request = request();
        request.votes = vec![vote("bob", None), vote("cy", Some("c2ln".into()))];
        request.denied = Some(Denial { by: "dee".into(), reason: "no".into(), at: Timestamp::from_millis(3000) });
        let body = Value::Object(request.to_body());
        assert_eq!(Approval::read(&request.env, &request.id, 3, &body), Some(request));
    }

    #[test]
    fn a_signature_is_for_one_plan_one_request_and_one_person() {
        let (seed, other) = ([1; 32], [2; 32]);
        let policy = policy(Some(&[&format!("bob {}", public_key(&seed)), "cy"]));
        let mut request = request();
        request.votes = vec![vote("bob", Some(request.statement("bob").sign(&seed)))];
        assert!(request.is_approved(&policy));
        for wrong in [
            request.statement("bob").sign(&other),
            request.statement("cy").sign(&seed),
            Statement { plan_oid: "cd".repeat(32), ..request.statement("bob") }.sign(&seed),
            Statement { approval: "a1b2c3d4e5f7".into(), ..request.statement("bob") }.sign(&seed),
            Statement { env: "dev".into(), ..request.statement("bob") }.sign(&seed),
            String::new(),
        ] {
            request.votes = vec![vote("bob", Some(wrong))];
            assert!(!request.is_approved(&policy));
        }
        // Who has a key signs; a terminal does not stand in for it, nor a signature for a terminal.
        request.votes = vec![vote("bob", None)];
        assert!(!request.is_approved(&policy));
        request.votes = vec![vote("cy", Some(request.statement("cy").sign(&seed)))];
        assert!(!request.is_approved(&policy));
        request.votes = vec![vote("cy", None)];
        assert!(request.is_approved(&policy));
    }

    #[test]
    fn people_count_once_and_requesters_as_the_policy_says() {
        let mut two = policy(None);
        two.rules.required = 2;
        let mut request = request();
        request.votes = vec![vote("bob", None), vote("bob", None)];
        assert!(!request.is_approved(&two));
        request.votes.push(vote("cy", None));
        assert!(request.is_approved(&two));
        // Under whatever author name he asked.
        let mut others = policy(None);
        request.author.id = "somebody@example.com".into();
        request.votes = vec![vote("ana", None)];
        assert!(request.is_approved(&others), "a terminal does not ask");
        others.rules.exclude_author = Some(true);
        assert!(!request.is_approved(&others));
        let seed = [3; 32];
        let mut signed = policy(Some(&[&format!("ana {}", public_key(&seed))]));
        request.votes = vec![vote("ana", Some(request.statement("ana").sign(&seed)))];
        assert!(!request.is_approved(&signed), "a signature does");
        signed.rules.exclude_author = Some(false);
        assert!(request.is_approved(&signed));
    }

    #[test]
    fn time_ends_all_but_what_is_over() {
        let mut request = request();
        let (before, after) = (Timestamp::from_millis(4999), Timestamp::from_millis(5000));
        for state in ApprovalState::ALL {
            request.stored = state;
            assert_eq!(request.state_at(before), state);
            let over = matches!(state, ApprovalState::Used | ApprovalState::Denied);
            assert_eq!(request.state_at(after), if over { state } else { ApprovalState::Expired });
        }
    }
}
