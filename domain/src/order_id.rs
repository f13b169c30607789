//! Ids derived from a request: the same request is the same id, on the same partition, without
//! asking anybody; and a short MAC in it lets the API know an id it gave out before any row exists.
//!
//! A derived id is a UUIDv8. Of its 122 free bits the first 90 are a SHA-256 over (operation,
//! tenant, merchant, Idempotency-Key), each length-prefixed, and the last 32 an HMAC-SHA-256 over
//! (tenant, merchant, those 90 bits). The MAC is a capability check for `GET`, not a secret of the
//! order; because it is part of the id, its key lives as long as the data.

use crate::{AccountId, OrderId, Xid};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What a derived id is for. One Idempotency-Key used for two operations gives two ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `POST /v1/orders`.
    Order,
    /// `POST /v1/accounts`.
    Account,
    /// `POST /v1/accounts/{id}/funding`.
    Funding,
}

/// The key of the MAC inside derived ids.
#[derive(Clone)]
pub struct IdKey([u8; 32]);

/// A key that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the order id key must be 64 hexadecimal digits (32 bytes)")]
pub struct IdKeyError;

impl IdKey {
    /// The key from its file's text: 64 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, IdKeyError> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| IdKeyError)?;
        Ok(Self(key))
    }

    /// The id of the order that (tenant, merchant) asks for under this Idempotency-Key.
    pub fn order_id(&self, tenant: &str, merchant: &str, idempotency_key: &str) -> OrderId {
        OrderId::from_bytes(self.derive(Operation::Order, tenant, merchant, &[idempotency_key]))
    }

    /// The id of the account opened under this Idempotency-Key; `merchant` is empty for the back
    /// office.
    pub fn account_id(&self, tenant: &str, merchant: &str, idempotency_key: &str) -> AccountId {
        AccountId::from_bytes(self.derive(Operation::Account, tenant, merchant, &[idempotency_key]))
    }

    /// The xid of a funding of `account` under this Idempotency-Key. Its scope is the account.
    pub fn funding_xid(
        &self,
        tenant: &str,
        merchant: &str,
        account: AccountId,
        idempotency_key: &str,
    ) -> Xid {
        let parts = [account.to_string(), idempotency_key.to_owned()];
        let parts = [parts[0].as_str(), parts[1].as_str()];
        Xid::from_bytes(self.derive(Operation::Funding, tenant, merchant, &parts))
    }

    /// Whether this key derived `id` for an order of (tenant, merchant).
    pub fn knows(&self, id: OrderId, tenant: &str, merchant: &str) -> bool {
        let bits = u128::from_be_bytes(*id.as_bytes());
        let payload = unpack(bits);
        pack((payload >> 32) << 32 | u128::from(self.mac(payload >> 32, tenant, merchant))) == bits
    }

    fn derive(
        &self,
        operation: Operation,
        tenant: &str,
        merchant: &str,
        rest: &[&str],
    ) -> [u8; 16] {
        let operation = match operation {
            Operation::Order => "order",
            Operation::Account => "account",
            Operation::Funding => "funding",
        };
        let mut hash = Sha256::new();
        for part in [operation, tenant, merchant].iter().chain(rest) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let hash = hash.finalize();
        let mut first = [0; 16];
        first.copy_from_slice(&hash[..16]);
        let ninety_bits = u128::from_be_bytes(first) >> 38;
        let mac = u128::from(self.mac(ninety_bits, tenant, merchant));
        pack(ninety_bits << 32 | mac).to_be_bytes()
    }

    fn mac(&self, ninety_bits: u128, tenant: &str, merchant: &str) -> u32 {
        // A 32-byte key is always accepted: HMAC takes keys of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return 0;
        };
        for part in [
            tenant.as_bytes(),
            merchant.as_bytes(),
            &ninety_bits.to_be_bytes(),
        ] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let tag = mac.finalize().into_bytes();
        u32::from_be_bytes([tag[0], tag[1], tag[2], tag[3]])
    }
}

impl std::fmt::Debug for IdKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdKey(masked)")
    }
}

/// Spreads 122 bits over a UUIDv8: 48 bits, version, 12 bits, variant, 62 bits.
fn pack(payload: u128) -> u128 {
    let high = payload >> 74 & 0xffff_ffff_ffff;
    let middle = payload >> 62 & 0xfff;
    let low = payload & ((1 << 62) - 1);
    high << 80 | 0x8 << 76 | middle << 64 | 0b10 << 62 | low
}

/// The 122 bits of a UUIDv8, without version and variant.
fn unpack(bits: u128) -> u128 {
    let high = bits >> 80;
    let middle = bits >> 64 & 0xfff;
    let low = bits & ((1 << 62) - 1);
    high << 74 | middle << 62 | low
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> IdKey {
        IdKey([7; 32])
    }

    #[test]
    fn the_same_request_is_the_same_id_and_a_uuid_v8() {
        let id = key().order_id("demo", "shop", "k1");
        assert_eq!(id, key().order_id("demo", "shop", "k1"));
        let uuid = uuid::Uuid::from_bytes(*id.as_bytes());
        assert_eq!(uuid.get_version_num(), 8);
        assert_eq!(uuid.get_variant(), uuid::Variant::RFC4122);
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(
            key().order_id("ab", "c", "k"),
            key().order_id("a", "bc", "k")
        );
        let order = key().order_id("t", "m", "k");
        let account = key().account_id("t", "m", "k");
        assert_ne!(order.as_bytes(), account.as_bytes());
    }

    #[test]
    fn only_the_owner_is_known() {
        let id = key().order_id("demo", "shop", "k1");
        assert!(key().knows(id, "demo", "shop"));
        assert!(!key().knows(id, "demo", "other"));
        assert!(!key().knows(id, "other", "shop"));
        assert!(!IdKey([8; 32]).knows(id, "demo", "shop"));
    }

    proptest! {
        #[test]
        fn every_derived_id_is_known_and_a_flipped_bit_is_not(
            tenant in "[a-z]{1,8}", merchant in "[a-z]{1,8}", k in ".{1,40}", bit in 0_u32..128
        ) {
            let id = key().order_id(&tenant, &merchant, &k);
            prop_assert!(key().knows(id, &tenant, &merchant));
            let flipped = u128::from_be_bytes(*id.as_bytes()) ^ (1 << bit);
            prop_assert!(!key().knows(OrderId::from_bytes(flipped.to_be_bytes()), &tenant, &merchant));
        }
    }
}
