//! The load that every measurement shares: who pays whom, how often, how much.
//!
//! The raw statements and the services get the same number of payers and payees, drawn alike, so
//! that neither has fewer row locks to wait for.

use domain::{SlotMap, SlotMapError};
use rand::Rng;

/// Merchants that are paid, each as often as any other.
pub const PAYEES: usize = 10;
/// The one currency.
pub const CURRENCY: &str = "USD";
/// What every payer has at first, in minor units: enough for any run.
pub const FUNDS_MINOR_UNITS: i64 = 1_000_000_000_000;

const AMOUNT_MIN: i64 = 100;
const AMOUNT_MAX: i64 = 20_000;

/// One payment between accounts, by their places in [`Accounts`].
#[derive(Debug, Clone, Copy)]
pub struct Payment {
    /// The place of who pays.
    pub payer: usize,
    /// The place of who is paid.
    pub payee: usize,
    /// Minor units.
    pub amount: i64,
}

impl Payment {
    /// A payment from one of `payers` to one of `payees`.
    pub fn draw(rng: &mut impl Rng, payers: usize, payees: usize) -> Self {
        Self {
            payer: rng.random_range(0..payers),
            payee: rng.random_range(0..payees),
            amount: rng.random_range(AMOUNT_MIN..=AMOUNT_MAX),
        }
    }
}

/// Two equal shards, as every stack has of each store.
pub fn two_shards() -> Result<SlotMap, SlotMapError> {
    SlotMap::even(1, 2)
}
