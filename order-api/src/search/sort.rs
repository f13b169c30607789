//! In which order a search answers.

use serde::{Deserialize, Serialize};

/// A field and a direction; the order id breaks ties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sort {
    pub(crate) field: SortField,
    pub(crate) descending: bool,
}

/// What can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SortField {
    CreatedAt,
    UpdatedAt,
    Amount,
}

/// The words that [`Sort::parse`] reads.
pub(crate) const SORTS: &str =
    "created_at, -created_at, updated_at, -updated_at, amount or -amount";

impl Default for Sort {
    /// The newest first.
    fn default() -> Self {
        Self {
            field: SortField::CreatedAt,
            descending: true,
        }
    }
}

impl Sort {
    /// `-` before a field means descending.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (descending, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text),
        };
        let field = match name {
            "created_at" => SortField::CreatedAt,
            "updated_at" => SortField::UpdatedAt,
            "amount" => SortField::Amount,
            _ => return None,
        };
        Some(Self { field, descending })
    }

    /// The field's name in the index. An order is created, to a caller, when it is accepted.
    pub(crate) const fn index_field(self) -> &'static str {
        match self.field {
            SortField::CreatedAt => "accepted_at",
            SortField::UpdatedAt => "updated_at",
            SortField::Amount => "amount",
        }
    }

    /// `asc` or `desc`.
    pub(crate) const fn direction(self) -> &'static str {
        if self.descending { "desc" } else { "asc" }
    }
}
