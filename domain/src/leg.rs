//! The legs of a payment and their form in the order row: one JSON column for n branches.
//!
//! `[["d","<32 hex of the account>",2933],["c","<32 hex>",2933]]`: kind, account, minor units. A
//! leg's number is its place in the list, from 0, and never changes.

use crate::{AccountId, Reason};
use serde::{Deserialize, Serialize};

/// Which way a leg moves money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LegKind {
    /// Takes from the account: reserved by a hold, settled by a capture.
    Debit,
    /// Adds to the account: confirm-only, cannot be refused once the order is decided.
    Credit,
}

/// One account's part of a movement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Leg {
    /// Debit or credit.
    pub kind: LegKind,
    /// Whose balance changes.
    pub account: AccountId,
    /// Minor units, 1 to [`crate::AMOUNT_MAX`].
    pub amount: i64,
}

impl Leg {
    /// The signed change of the ledger balance.
    pub fn delta(&self) -> i64 {
        match self.kind {
            LegKind::Debit => -self.amount,
            LegKind::Credit => self.amount,
        }
    }
}

/// A branches column that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the branches of an order: {0}")]
pub struct LegError(String);

#[derive(Serialize, Deserialize)]
struct Column<'a>(&'a str, &'a str, i64);

/// The column's text.
pub fn encode_legs(legs: &[Leg]) -> String {
    let mut text = String::with_capacity(2 + legs.len() * 60);
    text.push('[');
    for (number, leg) in legs.iter().enumerate() {
        use std::fmt::Write;
        let kind = match leg.kind {
            LegKind::Debit => 'd',
            LegKind::Credit => 'c',
        };
        let comma = if number == 0 { "" } else { "," };
        let account = u128::from_be_bytes(*leg.account.as_bytes());
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{comma}[\"{kind}\",\"{account:032x}\",{}]",
            leg.amount
        );
    }
    text.push(']');
    text
}

/// The legs of the column's text, in order.
pub fn decode_legs(text: &str) -> Result<Vec<Leg>, LegError> {
    let columns: Vec<Column<'_>> =
        serde_json::from_str(text).map_err(|error| LegError(error.to_string()))?;
    columns.into_iter().map(decode_leg).collect()
}

fn decode_leg(Column(kind, account, amount): Column<'_>) -> Result<Leg, LegError> {
    let kind = match kind {
        "d" => LegKind::Debit,
        "c" => LegKind::Credit,
        other => return Err(LegError(format!("unknown kind {other:?}"))),
    };
    let mut bytes = [0; 16];
    hex::decode_to_slice(account, &mut bytes).map_err(|error| LegError(error.to_string()))?;
    if !crate::minor_units_in_range(amount) {
        return Err(LegError(format!("amount out of range: {amount}")));
    }
    Ok(Leg {
        kind,
        account: AccountId::from_bytes(bytes),
        amount,
    })
}

impl From<Reason> for u16 {
    fn from(reason: Reason) -> Self {
        u16::from(reason.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_leg() -> impl Strategy<Value = Leg> {
        (any::<bool>(), any::<[u8; 16]>(), 1..=crate::AMOUNT_MAX).prop_map(|(debit, id, amount)| {
            Leg {
                kind: if debit {
                    LegKind::Debit
                } else {
                    LegKind::Credit
                },
                account: AccountId::from_bytes(id),
                amount,
            }
        })
    }

    proptest! {
        #[test]
        fn legs_survive_the_column(legs in proptest::collection::vec(any_leg(), 0..6)) {
            prop_assert_eq!(decode_legs(&encode_legs(&legs)).unwrap(), legs);
        }
    }

    #[test]
    fn a_debit_takes_and_a_credit_adds() {
        let delta = |kind| {
            let account = AccountId::from_bytes([1; 16]);
            let amount = 30;
            Leg {
                kind,
                account,
                amount,
            }
            .delta()
        };
        assert_eq!((delta(LegKind::Debit), delta(LegKind::Credit)), (-30, 30));
    }

    #[test]
    fn the_engine_gets_a_reason_as_its_code() {
        let reason = Reason::AccountClosed;
        assert_eq!(u16::from(reason), u16::from(reason.code()));
        assert_ne!(u16::from(reason), 0);
    }

    #[test]
    fn any_text_is_legs_that_survive_the_column_or_an_error() {
        let leg = |kind, byte, amount| Leg {
            kind,
            account: AccountId::from_bytes([byte; 16]),
            amount,
        };
        let two = [leg(LegKind::Debit, 1, 30), leg(LegKind::Credit, 2, 30)];
        let good = [encode_legs(&two), encode_legs(&two[..1]), encode_legs(&[])];
        let good = good.map(String::into_bytes);
        crate::mangled::each_mangled(&good, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            if let Ok(legs) = decode_legs(&text) {
                assert_eq!(decode_legs(&encode_legs(&legs)).unwrap(), legs);
            }
        });
    }
}
