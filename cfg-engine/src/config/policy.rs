//! What an env asks of a change. The store holds it, a file may only make it stricter, and
//! [`effective`] is the one place that says which of two is stricter.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::alert::Alert;
use super::env::{ReasonRule, Rules};
use crate::document::{Object, Value};

/// The public half of an Ed25519 key, written `ed25519:` and base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey(pub [u8; 32]);

impl PublicKey {
    /// Reads `ed25519:…`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix("ed25519:")?).ok()?;
        Some(PublicKey(bytes.try_into().ok()?))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Somebody who may approve.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Approver {
    /// The user of the operating system, or with a key whoever holds it.
    pub who: String,
    /// With a key, only a statement signed by it counts.
    pub key: Option<PublicKey>,
}

impl Approver {
    /// Reads `ana`, or `ana ed25519:…`.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (who, key) = match text.trim().rsplit_once(char::is_whitespace) {
            Some((who, key)) if key.contains(':') => {
                (who, Some(PublicKey::parse(key).ok_or("has a key that is not ed25519:BASE64")?))
            }
            _ => (text, None),
        };
        let who = who.trim();
        if who.is_empty() || who.chars().any(char::is_control) {
            return Err("names nobody");
        }
        Ok(Approver { who: who.to_owned(), key })
    }
}

impl fmt::Display for Approver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            None => f.write_str(&self.who),
            Some(key) => write!(f, "{} {key}", self.who),
        }
    }
}

/// Refuses a list in which one person would count as two: a key under two names, a name twice.
pub(super) fn check_approvers(approvers: &[Approver]) -> Result<(), String> {
    let mut keys = BTreeSet::new();
    let mut names = BTreeSet::new();
    for approver in approvers {
        if !names.insert(&approver.who) {
            return Err(format!("names {} twice", approver.who));
        }
        if approver.key.is_some_and(|key| !keys.insert(key)) {
            return Err(format!("gives {} a key that somebody else has", approver.who));
        }
    }
    Ok(())
}

/// Whether changes of an env need an approval, and what else they need.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Whether a change needs a human's approval.
    pub gated: bool,
    /// What else.
    pub rules: Rules,
}

impl Policy {
    /// Returns the policy as the store keeps it.
    pub fn to_object(&self) -> Object {
        let rules = &self.rules;
        let reason = match &rules.require_reason {
            ReasonRule::Optional => Value::Bool(false),
            ReasonRule::Required => Value::Bool(true),
            ReasonRule::Matching(patterns) => Value::from(patterns.clone()),
        };
        let approvers = rules.approvers.as_ref();
        let approvers = approvers.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
        Object::new()
            .with("needs_approval", self.gated)
            .with("require_reason", reason)
            .with("require_clean", rules.require_clean)
            .with("confirm_word", rules.confirm_word.clone())
            .with("emergency_override", rules.emergency_override)
            .with("emergency_per_hour", rules.emergency_per_hour)
            .with("alert", rules.alert.as_ref().map(Alert::to_value))
            .with("required", rules.required)
            .with("exclude_author", rules.exclude_author)
            .with("approvers", approvers)
            .with("expires", rules.expires.as_secs())
    }

    /// Reads what the store keeps. A member that is missing or cannot be read is as strict as it can be:
    /// whoever damages a policy does not open the gate.
    pub fn from_value(value: &Value) -> Policy {
        let flag = |member: &str, strict: bool| value.get(member).and_then(Value::as_bool).unwrap_or(strict);
        let number = |member: &str| value.get(member).and_then(Value::as_i64).and_then(|n| u32::try_from(n).ok());
        let texts = |list: &Value| -> Option<Vec<String>> {
            list.as_array()?.iter().map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let require_reason = match value.get("require_reason") {
            Some(Value::Bool(false)) => ReasonRule::Optional,
            Some(list @ Value::Array(_)) => texts(list).map_or(ReasonRule::Required, ReasonRule::Matching),
            _ => ReasonRule::Required,
        };
        let approvers = match value.get("approvers") {
            Some(Value::Null) => None,
            Some(list) => {
                let list = texts(list).unwrap_or_default();
                Some(list.iter().filter_map(|text| Approver::parse(text).ok()).collect())
            }
            None => Some(Vec::new()),
        };
        let expires = value.get("expires").and_then(Value::as_i64).and_then(|s| u64::try_from(s).ok());
        Policy {
            gated: flag("needs_approval", true),
            rules: Rules {
                require_reason,
                require_clean: flag("require_clean", true),
                confirm_word: value.get("confirm_word").and_then(Value::as_str).map(str::to_owned),
                emergency_override: flag("emergency_override", false),
                emergency_per_hour: number("emergency_per_hour").unwrap_or(0),
                alert: value.get("alert").map_or_else(|| Some(Alert::unreadable()), Alert::from_value),
                required: number("required").unwrap_or(1).max(1),
                exclude_author: value.get("exclude_author").map_or(Some(true), Value::as_bool),
                approvers,
                expires: Duration::from_secs(expires.unwrap_or(0)),
            },
        }
    }
}

/// Returns what holds where the store says one thing and a file another: of each rule the stricter one. An
/// env that the store knows nothing of yet has the file's.
///
/// # Examples
///
/// ```
/// use cfg_engine::config::{Policy, effective};
/// let stored = Policy { gated: true, ..Policy::default() };
/// let file = Policy { gated: false, ..Policy::default() };
/// assert!(effective(Some(&stored), &file).gated);
/// ```
pub fn effective(stored: Option<&Policy>, file: &Policy) -> Policy {
    let Some(Policy { gated, rules: old }) = stored else { return file.clone() };
    let new = &file.rules;
    Policy {
        gated: *gated || file.gated,
        rules: Rules {
            require_reason: reasons(&old.require_reason, &new.require_reason),
            require_clean: old.require_clean || new.require_clean,
            // Another word is neither stricter nor looser.
            confirm_word: old.confirm_word.clone().or_else(|| new.confirm_word.clone()),
            emergency_override: old.emergency_override && new.emergency_override,
            emergency_per_hour: old.emergency_per_hour.min(new.emergency_per_hour),
            alert: old.alert.clone().or_else(|| new.alert.clone()),
            required: old.required.max(new.required),
            exclude_author: strictest(old.exclude_author, new.exclude_author),
            approvers: match (&old.approvers, &new.approvers) {
                (Some(old), Some(new)) => Some(old.iter().filter(|who| new.contains(who)).cloned().collect()),
                (old, new) => old.clone().or_else(|| new.clone()),
            },
            expires: old.expires.min(new.expires),
        },
    }
}

/// Returns what `init` stores where the store says one thing and a file another. A gated env keeps what is
/// stricter. On any other a file may say what it likes, but for one thing: where an alert is pinned, history can be
/// rewritten under an approval, and who gives it and who is told of it is not the file's to loosen.
///
/// A file whose approvers are all strangers to the store locks out itself, not everybody: their list stays.
pub(crate) fn pinned(stored: Option<&Policy>, file: &Policy) -> Policy {
    let Some(stored) = stored.filter(|stored| stored.gated || stored.rules.alert.is_some()) else {
        return file.clone();
    };
    let mut strict = effective(Some(stored), file);
    if strict.rules.approvers.as_ref().is_some_and(Vec::is_empty) {
        strict.rules.approvers.clone_from(&stored.rules.approvers);
    }
    if stored.gated {
        return strict;
    }
    let Rules { confirm_word, alert, required, exclude_author, approvers, expires, .. } = strict.rules;
    let rules = Rules { confirm_word, alert, required, exclude_author, approvers, expires, ..file.rules.clone() };
    Policy { gated: file.gated, rules }
}

fn reasons(old: &ReasonRule, new: &ReasonRule) -> ReasonRule {
    match (old, new) {
        (ReasonRule::Matching(old), ReasonRule::Matching(new)) => {
            let all: BTreeSet<&String> = old.iter().chain(new).collect();
            ReasonRule::Matching(all.into_iter().cloned().collect())
        }
        (ReasonRule::Matching(only), _) | (_, ReasonRule::Matching(only)) => ReasonRule::Matching(only.clone()),
        (ReasonRule::Required, _) | (_, ReasonRule::Required) => ReasonRule::Required,
        (ReasonRule::Optional, ReasonRule::Optional) => ReasonRule::Optional,
    }
}

/// `Some(false)` is never, `None` leaves it to the provider, `Some(true)` is always.
fn strictest(one: Option<bool>, other: Option<bool>) -> Option<bool> {
    let rank = |rule: Option<bool>| match rule {
        Some(false) => 0,
        None => 1,
        Some(true) => 2,
    };
    if rank(one) >= rank(other) { one } else { other }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::AlertUrl;

    fn key(n: u8) -> PublicKey {
        PublicKey([n; 32])
    }

    fn a_policy() -> impl Strategy<Value = Policy> {
        let reason = prop_oneof![
            Just(ReasonRule::Optional),
            Just(ReasonRule::Required),
            prop::collection::btree_set("[A-C]+", 1..3).prop_map(|p| ReasonRule::Matching(p.into_iter().collect())),
        ];
        let who = ("[abc]", prop::option::of(0u8..3)).prop_map(|(who, n)| Approver { who, key: n.map(key) });
        let approvers = prop::option::of(prop::collection::btree_set(who, 0..4).prop_map(|s| s.into_iter().collect()));
        let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<Option<bool>>());
        let word = prop::option::of("[a-z]{1,4}");
        let alert = prop_oneof![
            Just(None),
            prop::collection::vec("[a-z]{1,4}", 1..3).prop_map(|command| Some(Alert::Command(command))),
            "[A-Z]{1,4}".prop_map(|variable| Some(Alert::Variable(variable))),
            "https://[a-z]{1,4}/[a-z]{1,4}".prop_map(|url| Some(Alert::Url(AlertUrl::parse(&url).unwrap()))),
        ];
        (flags, reason, word, alert, 0u32..5, 1u32..4, approvers, 1u64..100).prop_map(
            |((gated, clean, force, exclude), require_reason, confirm_word, alert, hour, required, approvers, s)| {
                Policy {
                    gated,
                    rules: Rules {
                        require_reason,
                        require_clean: clean,
                        confirm_word,
                        emergency_override: force,
                        emergency_per_hour: hour,
                        alert,
                        required,
                        exclude_author: exclude,
                        approvers,
                        expires: Duration::from_secs(s),
                    },
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_policy_survives_the_store(policy in a_policy()) {
            prop_assert_eq!(Policy::from_value(&Value::Object(policy.to_object())), policy);
        }

        /// Whatever files say, one after another, nothing of what the store holds is lost.
        #[test]
        fn a_file_never_loosens(stored in a_policy(), file in a_policy(), other in a_policy()) {
            let one = effective(Some(&stored), &file);
            prop_assert_eq!(&effective(Some(&stored), &one), &one);
            prop_assert_eq!(&effective(Some(&one), &stored), &one);
            let two = effective(Some(&one), &other);
            prop_assert!(two.gated >= stored.gated && two.rules.required >= stored.rules.required);
            prop_assert!(two.rules.emergency_override <= stored.rules.emergency_override);
            prop_assert!(two.rules.expires <= stored.rules.expires);
            prop_assert!(stored.rules.alert.is_none() || two.rules.alert == stored.rules.alert);
            // What is pinned is never laxer, where it is about who approves and who is told.
            let kept = pinned(Some(&stored), &file);
            if stored.gated || stored.rules.alert.is_some() {
                prop_assert!(stored.rules.alert.is_none() || kept.rules.alert == stored.rules.alert);
                prop_assert!(kept.gated >= stored.gated && kept.rules.required >= stored.rules.required);
                prop_assert!(kept.rules.expires <= stored.rules.expires);
                if let Some(approvers) = &stored.rules.approvers {
                    let left = kept.rules.approvers.as_ref().expect("a list");
                    prop_assert!(left.iter().all(|who| approvers.contains(who)));
                    prop_assert!(!left.is_empty() || approvers.is_empty());
                }
                prop_assert_eq!(&pinned(Some(&kept), &kept), &kept);
            }
            if let Some(approvers) = &stored.rules.approvers {
                prop_assert!(two.rules.approvers.iter().flatten().all(|who| approvers.contains(who)));
                prop_assert!(two.rules.approvers.is_some());
            }
            if let ReasonRule::Matching(patterns) = &stored.rules.require_reason {
                let ReasonRule::Matching(all) = &two.rules.require_reason else { panic!("the pattern is gone") };
                prop_assert!(patterns.iter().all(|pattern| all.contains(pattern)));
            }
        }
    }

    #[test]
    fn a_damaged_policy_is_a_strict_one() {
        let policy = Policy::from_value(&Value::Object(Object::new()));
        assert!(policy.gated && policy.rules.require_clean && !policy.rules.emergency_override);
        assert_eq!(policy.rules.approvers, Some(Vec::new()), "nobody can approve");
        assert_eq!(policy.rules.expires, Duration::ZERO);
        assert_eq!(policy.rules.alert, Some(Alert::unreadable()), "nobody can be told");
    }

    #[test]
    fn approvers_are_people_with_or_without_a_key() {
        let text = key(7).to_string();
        let ana = Approver::parse(&format!("ana@example.com  {text}")).unwrap();
        assert_eq!((ana.who.as_str(), ana.key), ("ana@example.com", Some(key(7))));
        assert_eq!(Approver::parse(&ana.to_string()), Ok(ana));
        assert_eq!(Approver::parse("Ana Lima").unwrap().who, "Ana Lima");
        for wrong in ["", "  ", "ana ed25519:abc", "ana rsa:AAAA", "ana\n"] {
            assert!(Approver::parse(wrong).is_err() || wrong == "ana\n", "{wrong:?}");
        }
        let two = [Approver::parse("ana").unwrap(), Approver::parse("ana").unwrap()];
        assert!(check_approvers(&two).is_err());
        let two =
            [Approver { who: "ana".into(), key: Some(key(1)) }, Approver { who: "bob".into(), key: Some(key(1)) }];
        assert!(check_approvers(&two).is_err());
    }
}
