//! An order's states as stored, its status as shown, and the reason it was cancelled.

use serde::{Deserialize, Serialize};

/// A stored code that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown {what} code {code}")]
pub struct CodeError {
    /// What the code should have named.
    pub what: &'static str,
    /// The code.
    pub code: u8,
}

/// The state of an order's row, a TINYINT in the store. The first three are the global
/// transaction's own: the row is its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OrderState {
    /// Logged; the branches are being tried.
    Trying = 1,
    /// Decided: the money will move.
    Confirming = 2,
    /// Decided: the holds will be released.
    Cancelling = 3,
    /// Ended: the money has moved.
    Paid = 10,
    /// Ended: nothing has moved.
    Cancelled = 11,
}

impl OrderState {
    /// The stored code.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What a customer sees.
    pub const fn status(self) -> OrderStatus {
        match self {
            Self::Trying | Self::Confirming | Self::Cancelling => OrderStatus::Processing,
            Self::Paid => OrderStatus::Paid,
            Self::Cancelled => OrderStatus::Cancelled,
        }
    }
}

impl TryFrom<u8> for OrderState {
    type Error = CodeError;
    fn try_from(code: u8) -> Result<Self, CodeError> {
        match code {
            1 => Ok(Self::Trying),
            2 => Ok(Self::Confirming),
            3 => Ok(Self::Cancelling),
            10 => Ok(Self::Paid),
            11 => Ok(Self::Cancelled),
            code => Err(CodeError {
                what: "order state",
                code,
            }),
        }
    }
}

/// An order's status as the API and search show it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderStatus {
    /// Accepted, the outcome is not known yet.
    Processing,
    /// The money has moved.
    Paid,
    /// Nothing has moved; the order carries the reason.
    Cancelled,
}

impl OrderStatus {
    /// The shown word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processing => "processing",
            Self::Paid => "paid",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why an order was cancelled; 0 in the store means none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The payer's available balance is below the amount.
    InsufficientFunds = 1,
    /// An account does not exist for this tenant (or, as payer, for this merchant).
    AccountNotFound = 2,
    /// An account is closed.
    AccountClosed = 3,
    /// An account is of another currency than the order.
    CurrencyMismatch = 4,
    /// It was first tried after its `not_after`, or could not be decided by its deadline.
    Expired = 5,
}

impl Reason {
    /// The stored code, never 0.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reason of a stored code; 0 is none.
    pub fn from_code(code: u8) -> Result<Option<Self>, CodeError> {
        match code {
            0 => Ok(None),
            1 => Ok(Some(Self::InsufficientFunds)),
            2 => Ok(Some(Self::AccountNotFound)),
            3 => Ok(Some(Self::AccountClosed)),
            4 => Ok(Some(Self::CurrencyMismatch)),
            5 => Ok(Some(Self::Expired)),
            code => Err(CodeError {
                what: "reason",
                code,
            }),
        }
    }

    /// The shown word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientFunds => "insufficient_funds",
            Self::AccountNotFound => "account_not_found",
            Self::AccountClosed => "account_closed",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::Expired => "expired",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The word in JSON.
    fn word<T: Serialize>(value: T) -> String {
        let word = serde_json::to_value(value).unwrap();
        word.as_str().unwrap().to_owned()
    }

    #[test]
    fn the_shown_word_is_the_one_in_json() {
        let statuses = [
            OrderStatus::Processing,
            OrderStatus::Paid,
            OrderStatus::Cancelled,
        ];
        assert_eq!(statuses.map(OrderStatus::as_str), statuses.map(word));
        let reasons: Vec<Reason> = (1..=5)
            .map(|code| Reason::from_code(code).unwrap().unwrap())
            .collect();
        let shown: Vec<_> = reasons.iter().map(|reason| reason.as_str()).collect();
        let words: Vec<_> = reasons.iter().map(word).collect();
        assert_eq!(shown, words);
    }

    #[test]
    fn every_code_is_read_back_as_written_and_no_other_is_read() {
        for code in 0..=u8::MAX {
            if let Ok(state) = OrderState::try_from(code) {
                assert_eq!(state.code(), code);
            }
            if let Ok(Some(reason)) = Reason::from_code(code) {
                assert_eq!(reason.code(), code);
            }
        }
        assert!(OrderState::try_from(0).is_err());
        assert_eq!(Reason::from_code(0), Ok(None));
    }
}
