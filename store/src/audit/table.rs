//! The tables `audit` and `audit_head`.

use super::chain::hash_of;
use super::deed::Texts;
use super::{Author, Deed, Entry, EntryHash, Head};
use crate::columns;
use chrono::{DateTime, Utc};
use domain::ShardName;
use sqlx::Row;
use sqlx::mysql::MySqlConnection;

// SYSDATE is the time at which the row is read, which is after its lock was waited for: so the entries'
// times are in the order of their numbers, unless the server's clock is set back.
const LOCK_HEAD: &str =
    "SELECT seq, hash, SYSDATE(6) AS at FROM audit_head WHERE singleton = 1 FOR UPDATE";

const INSERT: &str = "INSERT INTO audit
     (seq, at, tenant, actor, via, action, object, detail, request_id, prev_hash, hash)
 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";

const MOVE_HEAD: &str = "UPDATE audit_head SET seq = ?, hash = ? WHERE singleton = 1";

const READ_HEAD: &str = "SELECT seq, hash FROM audit_head WHERE singleton = 1";

const PAGE_FROM: &str = "SELECT seq, at, tenant, actor, via, action, object, detail, request_id,
     prev_hash, hash
 FROM audit WHERE seq >= ? ORDER BY seq LIMIT ?";

const PAGE_BEFORE: &str = "SELECT seq, at, tenant, actor, via, action, object, detail, request_id,
     prev_hash, hash
 FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?";

const COUNT_GUARDS: &str = "SELECT COUNT(*) FROM information_schema.TRIGGERS
 WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = 'audit'
     AND TRIGGER_NAME IN ('audit_refuse_update', 'audit_refuse_delete')";

/// Adds an entry to the shard's chain. It is there when the caller's SQL transaction commits, which
/// must be next: the head is locked from here on, and everybody who acts on this shard waits for it.
pub(crate) async fn append(
    conn: &mut MySqlConnection,
    shard: ShardName,
    author: &Author,
    deed: &Deed<'_>,
) -> Result<(), sqlx::Error> {
    let row = sqlx::query(LOCK_HEAD).fetch_one(&mut *conn).await?;
    let head = Head {
        seq: row.try_get("seq")?,
        hash: EntryHash::from_bytes(columns::fixed(&row, "hash")?),
    };
    let entry = entry(shard, head, row.try_get("at")?, Texts::of(author, deed));
    insert(conn, &entry).await?;
    sqlx::query(MOVE_HEAD)
        .bind(entry.seq)
        .bind(&entry.hash.as_bytes()[..])
        .execute(conn)
        .await?;
    Ok(())
}

/// The entry that follows the head.
fn entry(shard: ShardName, head: Head, at: DateTime<Utc>, texts: Texts) -> Entry {
    let mut entry = Entry {
        seq: head.seq + 1,
        at,
        tenant: texts.tenant,
        actor: texts.actor,
        via: texts.via.to_owned(),
        action: texts.action.to_owned(),
        object: texts.object,
        detail: texts.detail,
        request_id: texts.request_id,
        prev_hash: head.hash,
        hash: EntryHash::NONE,
    };
    entry.hash = hash_of(shard, &entry);
    entry
}

async fn insert(conn: &mut MySqlConnection, entry: &Entry) -> Result<(), sqlx::Error> {
    sqlx::query(INSERT)
        .bind(entry.seq)
        .bind(entry.at)
        .bind(&entry.tenant)
        .bind(&entry.actor)
        .bind(&entry.via)
        .bind(&entry.action)
        .bind(&entry.object)
        .bind(&entry.detail)
        .bind(&entry.request_id)
        .bind(&entry.prev_hash.as_bytes()[..])
        .bind(&entry.hash.as_bytes()[..])
        .execute(conn)
        .await?;
    Ok(())
}

/// The newest entry, as the head names it; none where somebody has removed the head.
pub(crate) async fn head(conn: &mut MySqlConnection) -> Result<Option<Head>, sqlx::Error> {
    let Some(row) = sqlx::query(READ_HEAD).fetch_optional(conn).await? else {
        return Ok(None);
    };
    Ok(Some(Head {
        seq: row.try_get("seq")?,
        hash: EntryHash::from_bytes(columns::fixed(&row, "hash")?),
    }))
}

/// Entries from this number on, the oldest first; none where one of them cannot be read, which no entry
/// of ours is.
pub(crate) async fn page_from(
    conn: &mut MySqlConnection,
    seq: u64,
    limit: u32,
) -> Result<Option<Vec<Entry>>, sqlx::Error> {
    let page = sqlx::query_as(PAGE_FROM).bind(seq).bind(limit);
    match page.fetch_all(conn).await {
        Err(sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_)) => Ok(None),
        page => page.map(Some),
    }
}

/// Entries before this number, the newest first.
pub(crate) async fn page_before(
    conn: &mut MySqlConnection,
    seq: u64,
    limit: u32,
) -> Result<Vec<Entry>, sqlx::Error> {
    let page = sqlx::query_as(PAGE_BEFORE).bind(seq).bind(limit);
    page.fetch_all(conn).await
}

/// Whether triggers that refuse changes are seen.
pub(crate) async fn is_guarded(conn: &mut MySqlConnection) -> Result<bool, sqlx::Error> {
    let guards: i64 = sqlx::query_scalar(COUNT_GUARDS).fetch_one(conn).await?;
    Ok(guards == 2)
}
