//! What an account is: its kind and whether it is open. Stored as TINYINT codes.

use crate::CodeError;
use serde::{Deserialize, Serialize};

/// Whose money an account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// A buyer of the tenant: every merchant of the tenant may charge it.
    Customer = 1,
    /// A seller's: only its own merchant may charge it.
    Merchant = 2,
    /// The world outside, made by the system and never shown. Its balance may be negative.
    External = 3,
}

/// Whether an account takes part in new orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountStatus {
    /// May pay and be paid.
    Open = 1,
    /// Refuses new orders; what was reserved before still settles.
    Closed = 2,
}

impl AccountKind {
    /// The stored code.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl AccountStatus {
    /// The stored code.
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl TryFrom<u8> for AccountKind {
    type Error = CodeError;
    fn try_from(code: u8) -> Result<Self, CodeError> {
        match code {
            1 => Ok(Self::Customer),
            2 => Ok(Self::Merchant),
            3 => Ok(Self::External),
            code => Err(CodeError {
                what: "account kind",
                code,
            }),
        }
    }
}

impl TryFrom<u8> for AccountStatus {
    type Error = CodeError;
    fn try_from(code: u8) -> Result<Self, CodeError> {
        match code {
            1 => Ok(Self::Open),
            2 => Ok(Self::Closed),
            code => Err(CodeError {
                what: "account status",
                code,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_code_is_read_as_what_was_written() {
        use AccountKind::{Customer, External, Merchant};
        for (kind, code) in [(Customer, 1), (Merchant, 2), (External, 3)] {
            assert_eq!((kind.code(), AccountKind::try_from(code)), (code, Ok(kind)));
        }
        use AccountStatus::{Closed, Open};
        for (status, code) in [(Open, 1), (Closed, 2)] {
            assert_eq!(
                (status.code(), AccountStatus::try_from(code)),
                (code, Ok(status))
            );
        }
        assert!(AccountKind::try_from(0).is_err() && AccountKind::try_from(4).is_err());
        assert!(AccountStatus::try_from(0).is_err() && AccountStatus::try_from(3).is_err());
    }
}
