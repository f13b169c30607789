//! What two stores may say differently of an order, why that usually is, and what to do. Pure.

use serde::Serialize;
use std::fmt;

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An order has no document.
    MissingDocument,
    /// A document is older than its order.
    OlderDocument,
    /// A document of the same version says something else.
    DifferingDocument,
    /// A document is newer than its order.
    NewerDocument,
    /// A document has no order.
    DocumentWithoutRow,
    /// An order cannot be read.
    UnreadableRow,
    /// A paid order has no entry.
    PaidWithoutEntries,
    /// A paid order has other entries than its legs.
    PaidWithOtherEntries,
    /// An order that is not paid has entries.
    EntriesOfUnpaidOrder,
    /// Entries are of no order, and no funding.
    EntriesWithoutOrder,
    /// A hold is open, and its order has ended.
    HoldOfEndedOrder,
    /// A hold is open, and has no order.
    HoldWithoutOrder,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 12] = [
        Self::MissingDocument,
        Self::OlderDocument,
        Self::DifferingDocument,
        Self::NewerDocument,
        Self::DocumentWithoutRow,
        Self::UnreadableRow,
        Self::PaidWithoutEntries,
        Self::PaidWithOtherEntries,
        Self::EntriesOfUnpaidOrder,
        Self::EntriesWithoutOrder,
        Self::HoldOfEndedOrder,
        Self::HoldWithoutOrder,
    ];

    /// As in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MissingDocument => "missing_document",
            Self::OlderDocument => "older_document",
            Self::DifferingDocument => "differing_document",
            Self::NewerDocument => "newer_document",
            Self::DocumentWithoutRow => "document_without_row",
            Self::UnreadableRow => "unreadable_row",
            Self::PaidWithoutEntries => "paid_without_entries",
            Self::PaidWithOtherEntries => "paid_with_other_entries",
            Self::EntriesOfUnpaidOrder => "entries_of_unpaid_order",
            Self::EntriesWithoutOrder => "entries_without_order",
            Self::HoldOfEndedOrder => "hold_of_ended_order",
            Self::HoldWithoutOrder => "hold_without_order",
        }
    }

    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MissingDocument => "the order has no document in search",
            Self::OlderDocument => "the document in search is older than the order",
            Self::DifferingDocument => "the document in search says something else",
            Self::NewerDocument => "the document in search is newer than the order",
            Self::DocumentWithoutRow => "a document in search has no order",
            Self::UnreadableRow => "the order cannot be read",
            Self::PaidWithoutEntries => "the order is paid, and no entry is there",
            Self::PaidWithOtherEntries => "the order is paid, and its entries are not its legs",
            Self::EntriesOfUnpaidOrder => "the order is cancelled, and has entries",
            Self::EntriesWithoutOrder => "entries belong to no order and to no funding",
            Self::HoldOfEndedOrder => "the order has ended, and a hold of it still reserves money",
            Self::HoldWithoutOrder => "a hold reserves money for no order",
        }
    }

    /// Why that usually is.
    pub const fn likely_cause(self) -> &'static str {
        match self {
            Self::MissingDocument => {
                "The document was deleted, or the index restored or made anew, and the follower's \
                 position is past the order."
            }
            Self::OlderDocument => {
                "The index was restored from an older copy, or the row was changed where the \
                 binlog does not tell it."
            }
            Self::DifferingDocument => {
                "Somebody other than the follower wrote the document, or changed the row by hand \
                 without a new version."
            }
            Self::NewerDocument => {
                "The order's database was restored from an older copy or has lost commits in a \
                 failover, or somebody other than the follower wrote the document."
            }
            Self::DocumentWithoutRow => {
                "The order's database was restored from an older copy, or the row was deleted by \
                 hand, or somebody other than the follower wrote the document."
            }
            Self::UnreadableRow => {
                "A newer version of Holdfast wrote the row, or it was changed by hand."
            }
            Self::PaidWithoutEntries => {
                "The account database was restored from an older copy or has lost commits in a \
                 failover, or the order's state was changed by hand."
            }
            Self::PaidWithOtherEntries => {
                "Entries or the order's legs were changed or deleted by hand, or one of the account \
                 databases was restored from an older copy."
            }
            Self::EntriesOfUnpaidOrder => {
                "The order's database was restored from an older copy and the order was decided \
                 again, or its state was changed by hand."
            }
            Self::EntriesWithoutOrder => {
                "The order's database was restored from an older copy, or the row was deleted or \
                 the entries were made by hand."
            }
            Self::HoldOfEndedOrder => {
                "The account database was restored from an older copy, or the order's state was \
                 changed by hand."
            }
            Self::HoldWithoutOrder => {
                "The order's database was restored from an older copy, or the row was deleted by \
                 hand."
            }
        }
    }

    /// What to do about it.
    pub const fn to_do(self) -> &'static str {
        match self {
            Self::MissingDocument | Self::OlderDocument | Self::DifferingDocument => {
                "`holdfast reconcile --repair-search` writes what the row says."
            }
            Self::NewerDocument => {
                "Search never goes back to an older version. Find out first which of the two is \
                 right; if it is the row, `holdfast search rebuild` makes the index anew."
            }
            Self::DocumentWithoutRow => {
                "Find out first whether the order was lost: then the document may be the last that \
                 tells of it. If it never was one, `holdfast reconcile --repair-search \
                 --delete-orphans` deletes the document."
            }
            Self::UnreadableRow => {
                "Run the version of Holdfast that wrote it, or restore the row from a backup."
            }
            Self::PaidWithoutEntries
            | Self::PaidWithOtherEntries
            | Self::EntriesOfUnpaidOrder
            | Self::EntriesWithoutOrder
            | Self::HoldOfEndedOrder
            | Self::HoldWithoutOrder => {
                "Money is never repaired by a command. `holdfast find` shows all there is of the \
                 order; a person decides, and books a correction."
            }
        }
    }

    /// Whether it is of open holds, which are not looked for by ranges.
    pub const fn is_of_holds(self) -> bool {
        match self {
            Self::HoldOfEndedOrder | Self::HoldWithoutOrder => true,
            Self::MissingDocument
            | Self::OlderDocument
            | Self::DifferingDocument
            | Self::NewerDocument
            | Self::DocumentWithoutRow
            | Self::UnreadableRow
            | Self::PaidWithoutEntries
            | Self::PaidWithOtherEntries
            | Self::EntriesOfUnpaidOrder
            | Self::EntriesWithoutOrder => false,
        }
    }
}

/// Two stores that contradict each other, before anybody knows whether they are only on their way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contradiction {
    /// In what.
    pub kind: Kind,
    /// What each side says, a line each.
    pub says: Vec<String>,
}

/// What really differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Which order; a document's id may be no order's.
    pub order_id: String,
    /// What differs.
    pub kind: Kind,
    /// What each side says, a line each.
    pub says: Vec<String>,
    /// Why that probably is.
    pub likely_cause: String,
    /// What to do about it.
    pub to_do: &'static str,
    /// Whether search says the right thing now.
    pub repaired: bool,
}

impl Difference {
    /// A contradiction that stays.
    pub fn of(order_id: String, contradiction: Contradiction) -> Self {
        let Contradiction { kind, says } = contradiction;
        Self {
            order_id,
            kind,
            says,
            likely_cause: kind.likely_cause().to_owned(),
            to_do: kind.to_do(),
            repaired: false,
        }
    }

    /// The follower left a dead letter with this reason.
    pub fn explain_by_dead_letter(&mut self, reason: &str) {
        self.likely_cause =
            format!("The follower could not index it and left a dead letter: {reason}");
        self.to_do =
            "Mend what the dead letter tells; what is refused for it once is refused again.";
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let repaired = if self.repaired { " (repaired)" } else { "" };
        writeln!(f, "{}: {}{repaired}", self.order_id, self.kind.as_str())?;
        self.says
            .iter()
            .try_for_each(|line| writeln!(f, "    {line}"))?;
        writeln!(f, "  likely: {}", self.likely_cause)?;
        if self.repaired {
            return Ok(());
        }
        writeln!(f, "  to do:  {}", self.to_do)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_named_alike_everywhere() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }
}
