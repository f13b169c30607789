//! What an order shard says of its orders: a checksum of what their documents must hold, and one of
//! the entries that the paid ones must have.

use super::sums::{Settled, Sums, read_as, unsigned};
use super::{IdRange, connection, spans};
use crate::{StoreError, Stores, columns};
use chrono::{DateTime, Utc};
use domain::{OrderId, ShardName};
use sqlx::MySql;
use sqlx::mysql::{MySqlArguments, MySqlRow};
use sqlx::query::Query;

const LAST: &str = "SELECT CAST(COALESCE(MAX(seq), 0) AS UNSIGNED) FROM orders";

// An order's texts are those of its document (`cli` adds the documents up in the same way), with codes
// for words. An open order's reason is not shown yet. Only an order of two legs has its accounts in
// the sum: they stand at fixed places between the eight quotation marks of its branches.
macro_rules! document_sums {
    ($span:literal) => {
        concat!(
            "SELECT CAST(CONV(LEFT(HEX(f.id), ?), 16, 10) AS UNSIGNED) AS place,
                 COUNT(*) AS orders,
                 CAST(SUM(f.open OR NOT f.settled) AS UNSIGNED) AS in_flight,
                 CAST(SUM(f.settled) AS UNSIGNED) AS counted,
                 CAST(SUM(IF(f.settled, CRC32(CONCAT_WS('|', HEX(f.id), ?, f.tenant, f.merchant,
                     IF(f.open, 0, f.state), IF(f.open, 0, f.reason), f.version, f.currency,
                     f.amount, f.captured, f.refunded,
                     COALESCE(f.reference, ''), COALESCE(f.description, ''),
                     IF(f.quotes = 8, SUBSTRING_INDEX(SUBSTRING_INDEX(f.branches, '\"', 4), '\"', -1), ''),
                     IF(f.quotes = 8, SUBSTRING_INDEX(SUBSTRING_INDEX(f.branches, '\"', 8), '\"', -1), ''),
                     DATE_FORMAT(f.accepted_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
                     DATE_FORMAT(f.created_at, '%Y-%m-%dT%H:%i:%s.%fZ'),
                     DATE_FORMAT(f.updated_at, '%Y-%m-%dT%H:%i:%s.%fZ'))), 0)) AS UNSIGNED)
                     AS checksum
             FROM (SELECT o.*, o.state NOT IN (10, 11) AS open,
                     (o.updated_at < ? OR o.updated_at >= ?) AS settled,
                     CHAR_LENGTH(o.branches) - CHAR_LENGTH(REPLACE(o.branches, '\"', '')) AS quotes
                 FROM orders o WHERE ",
            $span,
            " AND o.created_at >= ?) f GROUP BY place"
        )
    };
}

const DOCUMENT_SUMS_OF_SEQS: &str = document_sums!("o.seq > ? AND o.seq <= ?");
const DOCUMENT_SUMS_OF_IDS: &str = document_sums!("o.id >= ? AND o.id <= ?");

macro_rules! entry_sums {
    ($span:literal) => {
        concat!(
            "SELECT CAST(CONV(LEFT(HEX(o.id), ?), 16, 10) AS UNSIGNED) AS place,
                 COUNT(*) AS counted,
                 CAST(SUM(CRC32(CONCAT_WS('|', HEX(o.id), l.number - 1, LOWER(l.account),
                     IF(l.kind = 'd', -l.amount, l.amount)))) AS UNSIGNED) AS checksum
             FROM orders o JOIN JSON_TABLE(IF(JSON_VALID(o.branches), o.branches, '[]'), '$[*]'
                 COLUMNS (number FOR ORDINALITY, kind CHAR(1) PATH '$[0]',
                     account CHAR(32) PATH '$[1]', amount BIGINT PATH '$[2]')) l
             WHERE ",
            $span,
            " AND o.state = 10 AND (o.updated_at < ? OR o.updated_at >= ?) AND o.created_at >= ?
             GROUP BY place"
        )
    };
}

const ENTRY_SUMS_OF_SEQS: &str = entry_sums!("o.seq > ? AND o.seq <= ?");
const ENTRY_SUMS_OF_IDS: &str = entry_sums!("o.id >= ? AND o.id <= ?");

const IDS: &str = "SELECT id FROM orders WHERE id >= ? AND id <= ? AND created_at >= ? ORDER BY id";

/// Orders of one shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderSpan {
    /// By arrival, after the first number up to the second.
    Seqs(u64, u64),
    /// By id.
    Ids(IdRange),
}

/// Which orders are compared with what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settledness {
    /// With their documents.
    pub search: Settled,
    /// With their entries.
    pub ledger: Settled,
}

/// What some orders of one shard say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OrderSums {
    /// How many there are.
    pub orders: u64,
    /// How many of them have not ended, or are too young to be compared with their documents.
    pub in_flight: u64,
    /// What their documents must be.
    pub documents: Sums,
    /// What the entries of the paid ones must be.
    pub entries: Sums,
}

/// The spans that make up one shard's orders.
pub async fn order_spans(stores: &Stores, shard: ShardName) -> Result<Vec<OrderSpan>, StoreError> {
    let mut conn = connection(stores, shard).await?;
    let last: u64 = sqlx::query_scalar(LAST)
        .fetch_one(&mut *conn)
        .await
        .map_err(|error| StoreError::of(shard, error))?;
    Ok(spans(last)
        .map(|(after, to)| OrderSpan::Seqs(after, to))
        .collect())
}

/// Adds a span of one shard's orders up, by ranges of so many digits.
pub async fn order_sums(
    stores: &Stores,
    shard: ShardName,
    span: OrderSpan,
    digits: u8,
    settledness: Settledness,
) -> Result<OrderSums, StoreError> {
    let read = async {
        let mut sums = OrderSums::default();
        let rows = document_rows(stores, shard, span, digits, settledness.search).await?;
        for row in &rows {
            sums.add_documents(row, digits)?;
        }
        for row in &entry_rows(stores, shard, span, digits, settledness.ledger).await? {
            let (range, sum) = read_as(row, digits, "counted", "checksum")?;
            sums.entries.add(range, sum);
        }
        Ok(sums)
    };
    read.await.map_err(|error| StoreError::of(shard, error))
}

impl OrderSums {
    fn add_documents(&mut self, row: &MySqlRow, digits: u8) -> Result<(), sqlx::Error> {
        self.orders += unsigned(row, "orders")?;
        self.in_flight += unsigned(row, "in_flight")?;
        let (range, sum) = read_as(row, digits, "counted", "checksum")?;
        self.documents.add(range, sum);
        Ok(())
    }

    /// Adds what another span says.
    pub fn merge(&mut self, other: &Self) {
        self.orders += other.orders;
        self.in_flight += other.in_flight;
        self.documents.merge(&other.documents);
        self.entries.merge(&other.entries);
    }
}

async fn document_rows(
    stores: &Stores,
    shard: ShardName,
    span: OrderSpan,
    digits: u8,
    settled: Settled,
) -> Result<Vec<MySqlRow>, sqlx::Error> {
    let sql = match span {
        OrderSpan::Seqs(..) => DOCUMENT_SUMS_OF_SEQS,
        OrderSpan::Ids(_) => DOCUMENT_SUMS_OF_IDS,
    };
    let [until, young_until] = settled.bounds();
    let query = sqlx::query(sql).bind(digits).bind(shard.to_string());
    let query = bind_span(query.bind(until).bind(young_until), span);
    let mut conn = stores.pool(shard).acquire().await?;
    query
        .bind(settled.since.naive_utc())
        .fetch_all(&mut *conn)
        .await
}

async fn entry_rows(
    stores: &Stores,
    shard: ShardName,
    span: OrderSpan,
    digits: u8,
    settled: Settled,
) -> Result<Vec<MySqlRow>, sqlx::Error> {
    let sql = match span {
        OrderSpan::Seqs(..) => ENTRY_SUMS_OF_SEQS,
        OrderSpan::Ids(_) => ENTRY_SUMS_OF_IDS,
    };
    let [until, young_until] = settled.bounds();
    let query = bind_span(sqlx::query(sql).bind(digits), span);
    let mut conn = stores.pool(shard).acquire().await?;
    query
        .bind(until)
        .bind(young_until)
        .bind(settled.since.naive_utc())
        .fetch_all(&mut *conn)
        .await
}

fn bind_span(
    query: Query<'static, MySql, MySqlArguments>,
    span: OrderSpan,
) -> Query<'static, MySql, MySqlArguments> {
    match span {
        OrderSpan::Seqs(after, to) => query.bind(after).bind(to),
        OrderSpan::Ids(range) => query.bind(bytes(range.first())).bind(bytes(range.last())),
    }
}

pub(super) fn bytes(id: OrderId) -> Vec<u8> {
    id.as_bytes().to_vec()
}

/// The orders of a range on one shard that were made since a time, whenever they were written.
pub async fn order_ids_between(
    stores: &Stores,
    shard: ShardName,
    range: IdRange,
    since: DateTime<Utc>,
) -> Result<Vec<OrderId>, StoreError> {
    let of = |error| StoreError::of(shard, error);
    let mut conn = connection(stores, shard).await?;
    let query = sqlx::query(IDS)
        .bind(bytes(range.first()))
        .bind(bytes(range.last()))
        .bind(since.naive_utc());
    let rows = query.fetch_all(&mut *conn).await.map_err(of)?;
    let id = |row: &MySqlRow| Ok(OrderId::from_bytes(columns::id(row, "id")?));
    rows.iter().map(id).collect::<Result<_, _>>().map_err(of)
}
