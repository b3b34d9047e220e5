//! The cases, by what they try to break.

pub(crate) mod activation;
pub(crate) mod as_of;
pub(crate) mod atomic;
pub(crate) mod bypass;
pub(crate) mod clock;
pub(crate) mod documents;
pub(crate) mod entries;
pub(crate) mod ids;
pub(crate) mod limits;
pub(crate) mod live_rule;
pub(crate) mod lost_update;
pub(crate) mod objects;
pub(crate) mod overwriting;
pub(crate) mod reading;
pub(crate) mod replay;
pub(crate) mod setup;
pub(crate) mod upkeep;
