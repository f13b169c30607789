//! `--expect SHARD:SEQ:HASH`: an entry that somebody has written down. Pure.

use domain::{ShardName, StoreKind};
use store::audit::{EntryHash, Expected, Head};

/// A head as it is printed, to be written down.
pub fn written(shard: ShardName, head: Head) -> String {
    format!("{shard}:{}:{}", head.seq, head.hash)
}

/// Reads what [`written`] wrote.
pub fn parse(text: &str) -> Result<Expected, String> {
    let problem =
        || format!("{text:?} is not SHARD:SEQ:HASH, as `holdfast audit verify` prints it");
    let mut parts = text.split(':');
    let expected = (|| {
        let shard = shard(parts.next()?)?;
        let seq = parts.next()?.parse().ok()?;
        let hash: EntryHash = parts.next()?.parse().ok()?;
        // Before the first entry there is no hash that could be another one.
        if seq == 0 && hash != EntryHash::NONE {
            return None;
        }
        parts
            .next()
            .is_none()
            .then_some(Expected { shard, seq, hash })
    })();
    expected.ok_or_else(problem)
}

fn shard(text: &str) -> Option<ShardName> {
    let store = StoreKind::Accounts;
    let index = text.strip_prefix(store.as_str())?.strip_prefix('-')?;
    let name = ShardName {
        store,
        index: index.parse().ok()?,
    };
    (name.to_string() == text).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_can_be_expected() {
        let shard = ShardName {
            store: StoreKind::Accounts,
            index: 1,
        };
        let head = Head {
            seq: 42,
            hash: EntryHash::from_bytes([7; 32]),
        };
        let read = parse(&written(shard, head)).unwrap();
        assert_eq!((read.shard, read.seq, read.hash), (shard, 42, head.hash));
    }

    #[test]
    fn anything_else_is_refused() {
        let hash = "0".repeat(64);
        for bad in [
            String::new(),
            "accounts-0:1".into(),
            format!("orders-0:1:{hash}"),
            format!("accounts-00:1:{hash}"),
            format!("accounts-0:-1:{hash}"),
            format!("accounts-0:1:{hash}0"),
            format!("accounts-0:1:{hash}:"),
            format!("accounts-0:0:1{}", "0".repeat(63)),
        ] {
            assert!(parse(&bad).is_err(), "{bad}");
        }
    }
}
