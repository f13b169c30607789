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
