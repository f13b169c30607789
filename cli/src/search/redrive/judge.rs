//! What becomes of the dead letters of one order. Pure.

use crate::reconcile::row::document;
use cdc_sync::batch::DeadLetter;
use cdc_sync::bulk::Outcome;
use cdc_sync::dead_letters::KeptLetter;
use cdc_sync::document::Document;
use store::Lookup;

/// What the stores say of an order that has dead letters.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// Its row makes this document.
    Document(Box<Document>),
    /// Its row makes none, for this reason.
    Unreadable(String),
    /// It has no row.
    Missing,
    /// They do not answer.
    Unknown(String),
}

/// What is to be done with an order's letters.
#[derive(Debug, Clone, PartialEq)]
pub enum Fate {
    /// The index holds the order in this version or a newer one: letters up to it are answered.
    Answered(u64),
    /// It was refused again: this letter stands for the order as it is now.
    RefusedAgain(Box<DeadLetter>),
    /// Its row still makes no document, for this reason: each letter stays, with it.
    UnreadableAgain(String),
    /// Nothing, because of this.
    Stays(&'static str),
    /// Nothing: it cannot be told, because of this.
    Unknown(String),
}

/// What a look into the stores means; `shard` is the order's.
pub fn seen(lookup: &Lookup, shard: &str) -> Seen {
    match lookup {
        Lookup::Found(row) => match document(row, shard) {
            Ok(document) => Seen::Document(Box::new(document)),
            Err(error) => Seen::Unreadable(error.to_string()),
        },
        Lookup::Missing => Seen::Missing,
        Lookup::Unreadable(cause) => Seen::Unreadable(cause.clone()),
        Lookup::Unreachable(cause) => Seen::Unknown(cause.clone()),
    }
}

/// What to do where there is no document to write.
pub fn without_document(seen: Seen) -> Result<Box<Document>, Fate> {
    match seen {
        Seen::Document(document) => Ok(document),
        Seen::Unreadable(reason) => Err(Fate::UnreadableAgain(reason)),
        Seen::Missing => Err(Fate::Stays("the stores hold no such order")),
        Seen::Unknown(cause) => Err(Fate::Unknown(cause)),
    }
}

/// What to do once a document was sent. `held` is the version that the index holds where it took nothing
/// because of something newer; `failed_at` is now.
pub fn after_write(
    document: Document,
    outcome: Outcome,
    held: Option<u64>,
    failed_at: String,
) -> Fate {
    let version = document.version;
    match outcome {
        Outcome::Written => Fate::Answered(version),
        Outcome::Newer if held.is_some_and(|held| held >= version) => Fate::Answered(version),
        // A removed document is remembered for a minute, as newer than what it was.
        Outcome::Newer => Fate::Unknown(format!(
            "its document was removed from the index a moment ago, which does not take version {version} \
             again yet: run it again in a minute"
        )),
        Outcome::Rejected(reason) => Fate::RefusedAgain(Box::new(DeadLetter {
            order_id: document.order_id,
            shard: document.shard.clone(),
            version: version.to_string(),
            reason,
            failed_at,
            document: serde_json::to_value(document).ok(),
        })),
        Outcome::Transient(cause) | Outcome::Fatal(cause) => Fate::Unknown(cause),
    }
}

/// A letter with a new reason.
pub fn again(letter: &KeptLetter, reason: &str, failed_at: &str) -> DeadLetter {
    DeadLetter {
        order_id: letter.order_id,
        shard: letter.shard.clone(),
        version: letter.version.clone(),
        reason: reason.to_owned(),
        failed_at: failed_at.to_owned(),
        document: letter.document.clone(),
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use cdc_sync::document;
    use cdc_sync::rows::OrderRow;

    pub const TIME: &str = "2026-11-21T09:05:07.000042Z";

    pub fn version(version: u64) -> Document {
        let row = OrderRow {
            id: [7; 16],
            tenant: "demo".into(),
            merchant: "shop".into(),
            state: 1,
            reason: 0,
            version,
            currency: "USD".into(),
            amount: 1,
            captured: 0,
            refunded: 0,
            branches: "[]".into(),
            reference: None,
            description: None,
            accepted_at: TIME.into(),
            created_at: TIME.into(),
            updated_at: TIME.into(),
        };
        document::document(row, "orders-0").unwrap()
    }

    fn fate(outcome: Outcome, held: Option<u64>) -> Fate {
        after_write(version(3), outcome, held, TIME.into())
    }

    #[test]
    fn an_order_that_is_in_the_index_answers_its_letters() {
        assert_eq!(fate(Outcome::Written, None), Fate::Answered(3));
        assert_eq!(fate(Outcome::Newer, Some(3)), Fate::Answered(3));
        assert_eq!(fate(Outcome::Newer, Some(9)), Fate::Answered(3));
    }

    #[test]
    fn what_the_index_takes_for_newer_and_does_not_hold_answers_nothing() {
        for held in [None, Some(2)] {
            let fate = fate(Outcome::Newer, held);
            assert!(matches!(fate, Fate::Unknown(_)), "{fate:?}");
        }
    }

    #[test]
    fn a_refusal_is_kept_with_its_reason_and_an_outage_changes_nothing() {
        let Fate::RefusedAgain(letter) = fate(Outcome::Rejected("too long".into()), None) else {
            panic!();
        };
        assert_eq!(
            (letter.version.as_str(), &*letter.reason),
            ("3", "too long")
        );
        assert!(letter.document.is_some());
        for outcome in [
            Outcome::Transient("429".into()),
            Outcome::Fatal("403".into()),
        ] {
            assert!(matches!(fate(outcome, None), Fate::Unknown(_)));
        }
    }

    #[test]
    fn an_order_without_a_row_keeps_its_letters() {
        let of = |lookup: Lookup| without_document(seen(&lookup, "orders-0")).unwrap_err();
        assert!(matches!(of(Lookup::Missing), Fate::Stays(_)));
        let unreadable = Lookup::Unreadable("state 99".into());
        assert_eq!(of(unreadable), Fate::UnreadableAgain("state 99".into()));
        let unreachable = Lookup::Unreachable("refused".into());
        assert_eq!(of(unreachable), Fate::Unknown("refused".into()));
    }
}
