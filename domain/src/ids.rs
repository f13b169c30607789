//! 128-bit ids as newtypes: stored as 16 bytes, shown with a prefix and 32 hex digits.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected {prefix} followed by 32 lower-case hexadecimal digits")]
pub struct IdError {
    /// The prefix that was expected, such as `ord_`.
    pub prefix: &'static str,
}

macro_rules! prefixed_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name([u8; 16]);

        impl $name {
            /// What the shown form begins with.
            pub const PREFIX: &'static str = $prefix;

            /// The id of these 16 bytes, as the stores keep it.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes, as the stores keep them.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                parse_prefixed(text, $prefix).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str($prefix)?;
                Uuid::from_bytes(self.0).simple().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    };
}

prefixed_id!(
    /// Names an order; also the `xid` of its global transaction. See [`crate::IdKey`].
    OrderId,
    "ord_"
);
prefixed_id!(
    /// Names an account.
    AccountId,
    "acct_"
);
prefixed_id!(
    /// Names any business action that moves money: an order (same bytes as its [`OrderId`]) or
    /// a funding.
    Xid,
    "xid_"
);

impl AccountId {
    /// A new account's id: a UUIDv7 of this instant (Unix milliseconds) and randomness.
    pub fn new_v7(unix_ms: u64, random: [u8; 10]) -> Self {
        let uuid = uuid::Builder::from_unix_timestamp_millis(unix_ms, &random).into_uuid();
        Self(uuid.into_bytes())
    }
}

impl From<OrderId> for Xid {
    fn from(id: OrderId) -> Self {
        Self(id.0)
    }
}

impl From<Xid> for OrderId {
    fn from(xid: Xid) -> Self {
        Self(xid.0)
    }
}

impl From<Uuid> for Xid {
    fn from(uuid: Uuid) -> Self {
        Self(uuid.into_bytes())
    }
}

fn parse_prefixed(text: &str, prefix: &'static str) -> Result<[u8; 16], IdError> {
    let digits = text.strip_prefix(prefix).ok_or(IdError { prefix })?;
    let lower_hex = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 32 || !digits.as_bytes().iter().all(lower_hex) {
        return Err(IdError { prefix });
    }
    let mut bytes = [0; 16];
    hex::decode_to_slice(digits, &mut bytes).map_err(|_| IdError { prefix })?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_id_has_one_spelling_only() {
        let id = "ord_0123456789abcdef0123456789abcdef";
        assert_eq!(id.parse::<OrderId>().unwrap().to_string(), id);
        for bad in [
            "ord_0123456789ABCDEF0123456789abcdef",
            "acct_0123456789abcdef0123456789abcdef",
            "ord_0123456789abcdef0123456789abcde",
            "ord_0123456789abcdef0123456789abcdef ",
            "0123456789abcdef0123456789abcdef",
        ] {
            assert!(bad.parse::<OrderId>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_survive_the_shown_form(bytes: [u8; 16]) {
            let id = AccountId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<AccountId>().unwrap(), id);
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in ".{0,60}") {
            if let Ok(id) = text.parse::<OrderId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}
