//! How results look to people.

pub(crate) mod changes;
pub(crate) mod document;
pub(crate) mod entries;
pub(crate) mod graph;
pub(crate) mod html;
pub(crate) mod reports;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod time;
