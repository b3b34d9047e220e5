//! Members that are looked up, added and removed many times, in their order.

use std::borrow::Cow;
use std::collections::HashMap;

use super::text::nfc;
use super::value::{Object, Value};

/// Objects with more members than this are worth an index, once they are asked often enough.
const LINEAR_MEMBERS: usize = 16;

/// After so many linear searches an index is built.
const LINEAR_LOOKUPS: usize = 8;

/// Ordered members under construction; a lookup is linear first and by hash once that pays.
pub(crate) struct Keyed<T> {
    slots: Vec<Option<(String, T)>>,
    lookups: usize,
    index: Option<HashMap<String, usize>>,
}

impl<T> Keyed<T> {
    pub(crate) fn new(members: impl IntoIterator<Item = (String, T)>) -> Self {
        Keyed { slots: members.into_iter().map(Some).collect(), lookups: 0, index: None }
    }

    fn position(&mut self, key: &str) -> Option<usize> {
        if self.index.is_none() && self.lookups >= LINEAR_LOOKUPS && self.slots.len() > LINEAR_MEMBERS {
            let named = self.slots.iter().enumerate().filter_map(|(n, slot)| Some((slot.as_ref()?.0.clone(), n)));
            self.index = Some(named.collect());
        }
        if let Some(index) = &self.index {
            return index.get(key).copied();
        }
        self.lookups += 1;
        self.slots.iter().position(|slot| slot.as_ref().is_some_and(|(k, _)| k == key))
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut T> {
        let at = self.position(key)?;
        self.slots[at].as_mut().map(|(_, value)| value)
    }

    /// Appends a member whose key the caller knows to be new.
    pub(crate) fn push(&mut self, key: &str, value: T) {
        if let Some(index) = &mut self.index {
            index.insert(key.to_owned(), self.slots.len());
        }
        self.slots.push(Some((key.to_owned(), value)));
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<T> {
        let at = self.position(key)?;
        if let Some(index) = &mut self.index {
            index.remove(key);
        }
        self.slots[at].take().map(|(_, value)| value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(String, T)> {
        self.slots.iter().flatten()
    }

    pub(crate) fn into_members(self) -> impl Iterator<Item = (String, T)> {
        self.slots.into_iter().flatten()
    }
}

/// Finds the members of an object by name, as canonical bytes see them: a member that is null is
/// absent, and names that are equal after NFC are one name.
pub(crate) struct NameIndex<'o> {
    object: &'o Object,
    /// Absent for small objects, which are searched.
    exact: Option<HashMap<&'o str, usize>>,
    /// Only the names that NFC changes.
    normalised: Vec<(Cow<'o, str>, usize)>,
}

impl<'o> NameIndex<'o> {
    pub(crate) fn new(object: &'o Object) -> Self {
        let present = || object.iter().zip(0..).filter(|((_, value), _)| !value.is_null());
        let exact =
            (object.len() > LINEAR_MEMBERS).then(|| present().map(|((key, _), at)| (key.as_str(), at)).collect());
        let named = present().map(|((key, _), at)| (nfc(key), at));
        let mut normalised: Vec<_> = named.filter(|(name, _)| matches!(name, Cow::Owned(_))).collect();
        normalised.sort();
        NameIndex { object, exact, normalised }
    }

    fn exact(&self, key: &str) -> Option<usize> {
        match &self.exact {
            Some(index) => index.get(key).copied(),
            None => self.object.iter().position(|(k, value)| k == key && !value.is_null()),
        }
    }

    /// Returns where the member named `key` stands.
    pub(crate) fn position(&self, key: &str) -> Option<usize> {
        if let Some(at) = self.exact(key) {
            return Some(at);
        }
        let name = nfc(key);
        if matches!(name, Cow::Owned(_))
            && let Some(at) = self.exact(&name)
        {
            return Some(at);
        }
        let at = self.normalised.binary_search_by(|(n, _)| n.as_ref().cmp(&name)).ok()?;
        Some(self.normalised[at].1)
    }

    /// Returns the member named `key`, with its own spelling of the name.
    pub(crate) fn get(&self, key: &str) -> Option<&'o (String, Value)> {
        self.object.members().get(self.position(key)?)
    }
}
