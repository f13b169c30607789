//! Amounts in minor units and their currency; checked arithmetic only, never a float.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The largest amount one movement may have, in minor units. It leaves so much room below
/// `i64::MAX` that no number of confirms can overflow a balance.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000;

/// An ISO 4217 currency code, three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Currency([u8; 3]);

/// Why something is not money.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not an active ISO 4217 code.
    #[error("{0:?} is not an ISO 4217 currency code")]
    UnknownCurrency(String),
    /// Two currencies met in one sum.
    #[error("cannot add {right} to {left}")]
    CurrencyMismatch {
        /// The left operand's currency.
        left: Currency,
        /// The right operand's currency.
        right: Currency,
    },
    /// The sum does not fit 64 bits.
    #[error("the sum of minor units does not fit 64 bits")]
    Overflow,
}

impl Currency {
    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// How many decimal digits the minor unit stands behind the point (2 for USD, 0 for JPY).
    pub fn exponent(&self) -> u32 {
        iso_currency::Currency::from_code(self.as_str())
            .and_then(|c| c.exponent())
            .map_or(0, u32::from)
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let unknown = || MoneyError::UnknownCurrency(text.chars().take(16).collect());
        let letters: [u8; 3] = text.as_bytes().try_into().map_err(|_| unknown())?;
        if !letters.iter().all(u8::is_ascii_uppercase) {
            return Err(unknown());
        }
        iso_currency::Currency::from_code(text).ok_or_else(unknown)?;
        Ok(Self(letters))
    }
}

impl TryFrom<String> for Currency {
    type Error = MoneyError;
    fn try_from(text: String) -> Result<Self, MoneyError> {
        text.parse()
    }
}

impl From<Currency> for String {
    fn from(currency: Currency) -> Self {
        currency.as_str().to_owned()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A signed amount of one currency in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units: cents for USD, yen for JPY.
    pub minor_units: i64,
    /// Which currency they are of.
    pub currency: Currency,
}

impl Money {
    /// The sum, or why there is none.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency != other.currency {
            return Err(MoneyError::CurrencyMismatch {
                left: self.currency,
                right: other.currency,
            });
        }
        let minor_units = self
            .minor_units
            .checked_add(other.minor_units)
            .ok_or(MoneyError::Overflow)?;
        Ok(Self {
            minor_units,
            ..self
        })
    }
}

impl fmt::Display for Money {
    /// `29.33 USD`, `-0.05 USD`, `120 JPY`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exponent = self.currency.exponent();
        let sign = if self.minor_units < 0 { "-" } else { "" };
        let units = self.minor_units.unsigned_abs();
        let scale = 10_u64.pow(exponent);
        let (whole, rest) = (units / scale, units % scale);
        if exponent == 0 {
            write!(f, "{sign}{whole} {}", self.currency)
        } else {
            let width = exponent as usize;
            write!(f, "{sign}{whole}.{rest:0width$} {}", self.currency)
        }
    }
}

/// Whether a movement of `minor_units` is allowed: 1 to [`AMOUNT_MAX`].
pub fn minor_units_in_range(minor_units: i64) -> bool {
    (1..=AMOUNT_MAX).contains(&minor_units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usd(minor_units: i64) -> Money {
        Money {
            minor_units,
            currency: "USD".parse().unwrap(),
        }
    }

    #[test]
    fn money_prints_with_the_exponent_of_its_currency() {
        assert_eq!(usd(2933).to_string(), "29.33 USD");
        assert_eq!(usd(-5).to_string(), "-0.05 USD");
        assert_eq!(usd(0).to_string(), "0.00 USD");
        assert_eq!(usd(i64::MIN).to_string(), "-92233720368547758.08 USD");
        let yen = Money {
            minor_units: 120,
            currency: "JPY".parse().unwrap(),
        };
        assert_eq!(yen.to_string(), "120 JPY");
    }

    #[test]
    fn a_currency_is_three_upper_case_letters_that_iso_knows() {
        for bad in ["usd", "US", "USDX", "ZZZ", "", "U$D", "ÄÖ"] {
            assert!(bad.parse::<Currency>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn addition_is_exact_or_an_error(a: i64, b: i64) {
            match usd(a).checked_add(usd(b)) {
                Ok(sum) => prop_assert_eq!(i128::from(sum.minor_units), i128::from(a) + i128::from(b)),
                Err(error) => {
                    prop_assert_eq!(error, MoneyError::Overflow);
                    prop_assert!(a.checked_add(b).is_none());
                }
            }
        }
    }
}
