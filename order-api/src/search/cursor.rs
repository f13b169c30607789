//! Where a search goes on: signed, so that nobody writes his own, and complete, so that it always
//! means the same point in time, filters, sort and owner.

use super::{Filters, Sort};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;

const MAC_BYTES: usize = 16;
/// Told apart from whatever else a key may one day sign.
const PURPOSE: &[u8] = b"holdfast search cursor 1";

/// The place after one page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) tenant: String,
    pub(crate) merchant: Option<String>,
    pub(crate) filters: Filters,
    pub(crate) sort: Sort,
    /// Whether each page is checked against the order stores.
    #[serde(default)]
    pub(crate) strict: bool,
    /// Elasticsearch's name for the point in time.
    pub(crate) point_in_time: String,
    /// The sort values of the last order shown.
    pub(crate) after: Vec<Value>,
    /// How fresh the index was at that point in time.
    pub(crate) as_of: Option<DateTime<Utc>>,
}

/// The key that signs cursors.
#[derive(Clone)]
pub(crate) struct CursorKey([u8; 32]);

/// A key that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the cursor key must be 64 hexadecimal digits (32 bytes)")]
pub(crate) struct CursorKeyError;

/// A cursor that is not one of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one that this API gave out")]
pub(crate) struct CursorError;

impl CursorKey {
    /// The key from its file's text: 64 hexadecimal digits.
    pub(crate) fn from_hex(text: &str) -> Result<Self, CursorKeyError> {
        let mut key = [0; 32];
        hex::decode_to_slice(text.trim(), &mut key).map_err(|_| CursorKeyError)?;
        Ok(Self(key))
    }

    /// The cursor as the caller gets it.
    pub(crate) fn seal(&self, cursor: &Cursor) -> Result<String, CursorError> {
        let payload = serde_json::to_vec(cursor).map_err(|_| CursorError)?;
        let tag = self.mac(&payload)?.finalize().into_bytes();
        let sealed = [&tag[..MAC_BYTES], &payload].concat();
        Ok(URL_SAFE_NO_PAD.encode(sealed))
    }

    /// The cursor that a caller brings back.
    pub(crate) fn open(&self, text: &str) -> Result<Cursor, CursorError> {
        let sealed = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError)?;
        let (tag, payload) = sealed.split_at_checked(MAC_BYTES).ok_or(CursorError)?;
        let mac = self.mac(payload)?;
        mac.verify_truncated_left(tag).map_err(|_| CursorError)?;
        read_payload(payload)
    }

    fn mac(&self, payload: &[u8]) -> Result<Hmac<Sha256>, CursorError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).map_err(|_| CursorError)?;
        mac.update(PURPOSE);
        mac.update(payload);
        Ok(mac)
    }
}

fn read_payload(payload: &[u8]) -> Result<Cursor, CursorError> {
    serde_json::from_slice(payload).map_err(|_| CursorError)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor() -> Cursor {
        Cursor {
            tenant: "demo".into(),
            merchant: Some("shop".into()),
            filters: Filters::default(),
            sort: Sort::default(),
            strict: true,
            point_in_time: "abc".into(),
            after: vec![
                Value::from(1_700_000_000_000_000_001_i64),
                Value::from("ord_1"),
            ],
            as_of: None,
        }
    }

    #[test]
    fn a_cursor_comes_back_whole_and_a_changed_one_not_at_all() {
        let key = CursorKey([7; 32]);
        let text = key.seal(&cursor()).unwrap();
        assert_eq!(key.open(&text), Ok(cursor()));
        assert_eq!(CursorKey([8; 32]).open(&text), Err(CursorError));
        for place in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(
                key.open(&changed) != Ok(cursor()) || changed == text,
                "{place}"
            );
        }
        for bad in ["", "x", "!!!!", "AAAA"] {
            assert_eq!(key.open(bad), Err(CursorError));
        }
    }

    #[test]
    fn any_text_is_a_cursor_of_ours_or_an_error_even_under_our_signature() {
        let key = CursorKey([7; 32]);
        let text = key.seal(&cursor()).unwrap();
        domain::mangled::each_mangled(&[text.into_bytes()], |bytes| {
            let _ = key.open(&String::from_utf8_lossy(bytes));
        });
        let payload = serde_json::to_vec(&cursor()).unwrap();
        domain::mangled::each_mangled(&[payload], |bytes| {
            let _ = read_payload(bytes);
        });
    }
}
