//! What an account shard says of the entries of its orders. Entries of fundings are read, too, and
//! taken away: a funding is known by its entry 0 on an external account, whose other entry is on the
//! same shard.

use super::orders::bytes;
use super::sums::{Settled, Sums, read};
use super::{IdRange, SPAN_ROWS, connection, spans};
use crate::{StoreError, Stores, columns};
use domain::{AccountId, ShardName};
use sqlx::Row;
use sqlx::mysql::{MySqlConnection, MySqlRow};

const FIRST: AccountId = AccountId::from_bytes([0; 16]);
const LAST: AccountId = AccountId::from_bytes([0xff; 16]);
const ACCOUNTS_AT_ONCE: u32 = 10_000;

const ACCOUNTS: &str = "SELECT id, last_entry FROM accounts WHERE id > ? ORDER BY id LIMIT ?";

macro_rules! sums {
    ($span:literal) => {
        concat!(
            "SELECT CAST(CONV(LEFT(HEX(e.xid), ?), 16, 10) AS UNSIGNED) AS place,
                 COUNT(*) AS counted,
                 CAST(SUM(CRC32(CONCAT_WS('|', HEX(e.xid), e.leg, LOWER(HEX(e.account)), e.delta)))
                     AS UNSIGNED) AS checksum
             FROM entries e WHERE ",
            $span,
            " AND (e.booked_at < ? OR e.booked_at >= ?) AND e.booked_at >= ? GROUP BY place"
        )
    };
}

const SUMS_OF_ACCOUNTS: &str = sums!("e.account > ? AND e.account <= ?");
const SUMS_OF_NUMBERS: &str = sums!("e.account = ? AND e.number > ? AND e.number <= ?");
const SUMS_OF_XIDS: &str = sums!("e.xid >= ? AND e.xid <= ?");

macro_rules! fundings {
    ($from:literal, $span:literal) => {
        concat!(
            "SELECT CAST(CONV(LEFT(HEX(e.xid), ?), 16, 10) AS UNSIGNED) AS place,
                 2 * COUNT(*) AS counted,
                 CAST(SUM(CRC32(CONCAT_WS('|', HEX(e.xid), e.leg, LOWER(HEX(e.account)), e.delta))
                     + CRC32(CONCAT_WS('|', HEX(p.xid), p.leg, LOWER(HEX(p.account)), p.delta)))
                     AS UNSIGNED) AS checksum
             FROM ",
            $from,
            " STRAIGHT_JOIN entries p ON p.xid = e.xid AND p.leg = 1 AND p.delta = -e.delta
             WHERE ",
            $span,
            " AND a.kind = 3 AND e.leg = 0
              AND (e.booked_at < ? OR e.booked_at >= ?) AND e.booked_at >= ? GROUP BY place"
        )
    };
}

// External accounts are few: their entries are found from them, those of a range from the range.
const FUNDINGS_OF_ACCOUNTS: &str = fundings!(
    "accounts a STRAIGHT_JOIN entries e ON e.account = a.id",
    "a.id > ? AND a.id <= ?"
);
const FUNDINGS_OF_NUMBERS: &str = fundings!(
    "accounts a STRAIGHT_JOIN entries e ON e.account = a.id",
    "a.id = ? AND e.number > ? AND e.number <= ?"
);
const FUNDINGS_OF_XIDS: &str = fundings!(
    "entries e STRAIGHT_JOIN accounts a ON a.id = e.account",
    "e.xid >= ? AND e.xid <= ?"
);

/// Entries of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntrySpan {
    /// Of the accounts after the first up to the second.
    Accounts(AccountId, AccountId),
    /// Of one account, after the first number up to the second.
    Numbers(AccountId, u64, u64),
    /// By id.
    Ids(IdRange),
}

/// The spans that make up one shard's entries, also those of accounts that do not exist.
pub async fn entry_spans(stores: &Stores, shard: ShardName) -> Result<Vec<EntrySpan>, StoreError> {
    let of = |error| StoreError::of(shard, error);
    let mut conn = connection(stores, shard).await?;
    let mut plan = Plan::default();
    loop {
        let page = accounts(&mut conn, plan.after).await.map_err(of)?;
        page.iter()
            .for_each(|(id, entries)| plan.account(*id, *entries));
        if page.len() < ACCOUNTS_AT_ONCE as usize {
            return Ok(plan.finish());
        }
    }
}

async fn accounts(
    conn: &mut MySqlConnection,
    after: AccountId,
) -> Result<Vec<(AccountId, u64)>, sqlx::Error> {
    let query = sqlx::query(ACCOUNTS).bind(after.as_bytes().to_vec());
    let rows = query.bind(ACCOUNTS_AT_ONCE).fetch_all(conn).await?;
    let account = |row: &MySqlRow| {
        let id = AccountId::from_bytes(columns::id(row, "id")?);
        Ok((id, row.try_get("last_entry")?))
    };
    rows.iter().map(account).collect()
}

/// Spans as they are put together, account by account in the order of their ids.
struct Plan {
    spans: Vec<EntrySpan>,
    /// All accounts up to here are in a span.
    covered: AccountId,
    /// The last account seen.
    after: AccountId,
    /// The entries of the accounts between.
    entries: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            spans: Vec::new(),
            covered: FIRST,
            after: FIRST,
            entries: 0,
        }
    }
}

impl Plan {
    fn account(&mut self, id: AccountId, entries: u64) {
        if entries > SPAN_ROWS {
            self.close(self.after);
            // What would stand between the last account and this one.
            self.close(before(id));
            self.spans.extend(spans(entries).map(|(after, to)| {
                let to = if to == entries { u64::MAX } else { to };
                EntrySpan::Numbers(id, after, to)
            }));
            self.covered = id;
        } else if self.entries + entries > SPAN_ROWS {
            self.close(self.after);
            self.entries = entries;
        } else {
            self.entries += entries;
        }
        self.after = id;
    }

    fn close(&mut self, upto: AccountId) {
        if upto > self.covered {
            self.spans.push(EntrySpan::Accounts(self.covered, upto));
            self.covered = upto;
        }
        self.entries = 0;
    }

    fn finish(mut self) -> Vec<EntrySpan> {
        self.close(LAST);
        self.spans
    }
}

fn before(id: AccountId) -> AccountId {
    let bits = u128::from_be_bytes(*id.as_bytes()).saturating_sub(1);
    AccountId::from_bytes(bits.to_be_bytes())
}

/// Adds a span of one shard's entries up, by ranges of so many digits, without those of fundings.
pub async fn entry_sums(
    stores: &Stores,
    shard: ShardName,
    span: EntrySpan,
    digits: u8,
    settled: Settled,
) -> Result<Sums, StoreError> {
    let (sums, fundings) = match span {
        EntrySpan::Accounts(..) => (SUMS_OF_ACCOUNTS, FUNDINGS_OF_ACCOUNTS),
        EntrySpan::Numbers(..) => (SUMS_OF_NUMBERS, FUNDINGS_OF_NUMBERS),
        EntrySpan::Ids(_) => (SUMS_OF_XIDS, FUNDINGS_OF_XIDS),
    };
    let read = async {
        let mut conn = stores.pool(shard).acquire().await?;
        let mut total = Sums::default();
        for row in &rows(&mut conn, sums, span, digits, settled).await? {
            let (range, sum) = read(row, digits)?;
            total.add(range, sum);
        }
        for row in &rows(&mut conn, fundings, span, digits, settled).await? {
            let (range, sum) = read(row, digits)?;
            total.take(range, sum);
        }
        Ok(total)
    };
    read.await.map_err(|error| StoreError::of(shard, error))
}

async fn rows(
    conn: &mut MySqlConnection,
    sql: &'static str,
    span: EntrySpan,
    digits: u8,
    settled: Settled,
) -> Result<Vec<MySqlRow>, sqlx::Error> {
    let query = sqlx::query(sql).bind(digits);
    let query = match span {
        EntrySpan::Accounts(after, to) => query
            .bind(after.as_bytes().to_vec())
            .bind(to.as_bytes().to_vec()),
        EntrySpan::Numbers(account, after, to) => {
            query.bind(account.as_bytes().to_vec()).bind(after).bind(to)
        }
        EntrySpan::Ids(range) => query.bind(bytes(range.first())).bind(bytes(range.last())),
    };
    let [until, young_until] = settled.bounds();
    let query = query.bind(until).bind(young_until);
    query.bind(settled.since.naive_utc()).fetch_all(conn).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn account(number: u128) -> AccountId {
        AccountId::from_bytes(number.to_be_bytes())
    }

    fn number(account: AccountId) -> u128 {
        u128::from_be_bytes(*account.as_bytes())
    }

    proptest! {
        #[test]
        fn spans_cover_every_account_once_and_a_big_one_by_its_numbers(
            sizes in proptest::collection::vec(prop_oneof![0..SPAN_ROWS, 0..5 * SPAN_ROWS], 0..40)
        ) {
            let mut plan = Plan::default();
            for (id, entries) in (1_u128..).zip(&sizes) {
                plan.account(account(id * 10), *entries);
            }
            let (mut end, mut inside) = (0, None);
            for span in plan.finish() {
                match span {
                    EntrySpan::Accounts(after, to) => {
                        prop_assert_eq!(number(after), end);
                        prop_assert!(inside.is_none() && to > after);
                        end = number(to);
                    }
                    EntrySpan::Numbers(id, after, to) => {
                        prop_assert_eq!(inside.unwrap_or(0), after);
                        inside = Some(to).filter(|to| *to < u64::MAX);
                        if inside.is_none() {
                            prop_assert_eq!(number(id), end + 1);
                            end = number(id);
                        }
                    }
                    EntrySpan::Ids(_) => prop_assert!(false, "no span of ids is planned"),
                }
            }
            prop_assert_eq!(end, u128::MAX);
        }
    }
}
