//! The live tables that cases ask for.

use cfg_engine::config::{CollectionConfig, LiveRule, Shape};
use cfg_engine::document::FieldPolicy;
use cfg_engine::history::CollectionName;

use crate::space::object;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Text.
    Text,
    /// A whole number.
    Int,
    /// True or false.
    Bool,
    /// Any JSON.
    Json,
    /// A UUID.
    Uuid,
}

/// The columns that every table has beside its id, in this order. In the document shape they are fields of
/// the document, but for those that the live rule names.
pub const COLUMNS: [(&str, Column); 9] = [
    ("name", Column::Text),
    ("n", Column::Int),
    ("body", Column::Json),
    ("updated_at", Column::Text),
    ("token", Column::Text),
    ("active", Column::Bool),
    ("status", Column::Text),
    ("rank", Column::Int),
    ("retired_at", Column::Text),
];

/// A live table: a collection, and the types of its columns.
#[derive(Debug, Clone)]
pub struct Table {
    /// The collection; its shape is set by the harness.
    pub config: CollectionConfig,
    /// The id's columns.
    pub id: Vec<(String, Column)>,
}

impl Table {
    /// Describes a table with a text id named `id`. `updated_at`, `tmp_*` and `body.cache` are ignored,
    /// `token` and `body.tools[].key` are secret.
    pub fn new(name: &str) -> Self {
        let mut config = CollectionConfig::new(CollectionName::new(name).expect("a name"), "id");
        config.policy = FieldPolicy::builder()
            .ignore_field("updated_at")
            .ignore_pattern("tmp_*")
            .expect("a glob")
            .ignore_path("body.cache")
            .expect("a path")
            .secret_field("token")
            .expect("a path")
            .secret_field("body.tools[].key")
            .expect("a path")
            .build();
        // The physical name is never the configured one: whoever mixes them up is found out.
        config.table = format!("{name}_live");
        Table { config, id: vec![("id".to_owned(), Column::Text)] }
    }

    /// Sets the id's columns.
    #[must_use]
    pub fn id(mut self, columns: &[(&str, Column)]) -> Self {
        self.id = columns.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        self.config.id_fields = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        self
    }

    /// Sets the live rule from its JSON form.
    #[must_use]
    pub fn live_when(mut self, rule: &str) -> Self {
        self.config.live_when = LiveRule::from_object(&object(rule)).expect("a live rule");
        self
    }

    pub(crate) fn shaped(mut self, shape: Shape) -> Self {
        self.config.shape = shape;
        self
    }

    /// Returns the columns of the physical table, with their types; the document's column is the last.
    pub fn columns(&self) -> Vec<(String, Column)> {
        let named_by_rule = |name: &str| self.config.live_when.conditions().iter().any(|(field, _)| field == name);
        let mut columns = self.id.clone();
        for (name, kind) in COLUMNS {
            if self.config.shape == Shape::Row || named_by_rule(name) {
                columns.push((name.to_owned(), kind));
            }
        }
        if self.config.shape == Shape::Doc {
            columns.push((self.config.doc_column.clone(), Column::Json));
        }
        columns
    }
}
