//! A small business: a branch writes what it does into a journal without any fence of its own, so
//! that whatever is done twice shows.

use super::{BRANCH_SHARDS, LOG_SHARDS};
use saga::conformance::Effect;
use saga::{Action, Branch, LoggedRecord, Reason, ShardId, SqlFault, Xid};
use serde::{Deserialize, Serialize};
use sqlx::mysql::{MySqlConnection, MySqlPool};

pub const JOURNAL_SQL: &str = "CREATE TABLE IF NOT EXISTS journal (
    seq      BIGINT UNSIGNED   NOT NULL AUTO_INCREMENT PRIMARY KEY,
    xid      BINARY(16)        NOT NULL,
    branch   TINYINT UNSIGNED  NOT NULL,
    quantity SMALLINT UNSIGNED NOT NULL,
    -- 1 reserved, 2 settled, 3 released.
    what     TINYINT UNSIGNED  NOT NULL,
    KEY journal_branch (xid, branch)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin";

/// Refused for this.
pub const SOLD_OUT: Reason = Reason(7);

/// Too large for its column: the statement that carries it fails.
pub const POISON: u32 = 1_000_000;

/// So much of something; none is a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantity(pub u32);

/// The journal as an action to fence.
#[derive(Debug, Clone, Copy)]
pub struct Journal;

const WRITE: &str = "INSERT INTO journal (xid, branch, quantity, what)
 SELECT UNHEX(s.xid), s.branch, s.quantity, ? FROM JSON_TABLE(?, '$[*]' COLUMNS (
     xid CHAR(32) PATH '$[0]', branch TINYINT UNSIGNED PATH '$[1]', quantity INT PATH '$[2]')) s";

impl Journal {
    async fn write<'a>(
        &self,
        conn: &mut MySqlConnection,
        branches: impl Iterator<Item = &'a Branch<Quantity>>,
        what: u8,
    ) -> Result<(), SqlFault> {
        let row =
            |branch: &Branch<Quantity>| (branch.xid.to_string(), branch.number, branch.payload);
        let rows: Vec<_> = branches.map(row).collect();
        let json = serde_json::to_string(&rows).unwrap();
        sqlx::query(WRITE)
            .bind(what)
            .bind(json)
            .execute(conn)
            .await?;
        Ok(())
    }
}

impl Action for Journal {
    type Payload = Quantity;

    fn digest(&self, payload: &Quantity) -> [u8; 32] {
        let mut digest = [0; 32];
        digest[..4].copy_from_slice(&payload.0.to_be_bytes());
        digest
    }

    async fn reserve(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Quantity>],
    ) -> Result<Vec<Result<(), Reason>>, SqlFault> {
        self.write(
            conn,
            branches.iter().filter(|branch| branch.payload.0 > 0),
            1,
        )
        .await?;
        let answer = |branch: &Branch<Quantity>| {
            if branch.payload.0 > 0 {
                Ok(())
            } else {
                Err(SOLD_OUT)
            }
        };
        Ok(branches.iter().map(answer).collect())
    }

    async fn settle(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Quantity>],
    ) -> Result<(), SqlFault> {
        self.write(conn, branches.iter(), 2).await
    }

    async fn release(
        &self,
        conn: &mut MySqlConnection,
        branches: &[Branch<Quantity>],
    ) -> Result<(), SqlFault> {
        self.write(conn, branches.iter(), 3).await
    }
}

/// What the journal says a branch has done.
pub async fn effect(pool: &MySqlPool, xid: Xid, branch: u8) -> Effect {
    let (reserved, settled, released): (i64, i64, i64) = sqlx::query_as(
        "SELECT COUNT(IF(what = 1, 1, NULL)), COUNT(IF(what = 2, 1, NULL)),
             COUNT(IF(what = 3, 1, NULL)) FROM journal WHERE xid = ? AND branch = ?",
    )
    .bind(xid.0.as_slice())
    .bind(branch)
    .fetch_one(pool)
    .await
    .unwrap();
    let open = reserved - settled - released;
    assert!(
        open >= 0,
        "settled or released more often than reserved: {xid} {branch}"
    );
    Effect {
        reserved: open as u32,
        settled: settled as u32,
    }
}

/// A record: quantities from both branch shards.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Purchase {
    pub id: u128,
    /// For each branch, its shard and how much.
    pub parts: Vec<(u16, u32)>,
    pub note: String,
}

impl Purchase {
    /// From both branch shards.
    pub fn of(quantities: [u32; 2]) -> Self {
        let parts = BRANCH_SHARDS
            .iter()
            .zip(quantities)
            .map(|(shard, much)| (shard.0, much));
        Self {
            id: rand::random(),
            parts: parts.collect(),
            note: String::new(),
        }
    }

    /// From one branch shard.
    pub fn from_one(shard: ShardId, quantity: u32) -> Self {
        Self {
            id: rand::random(),
            parts: vec![(shard.0, quantity)],
            note: String::new(),
        }
    }

    /// The same with its log row on this log shard.
    pub fn logged_on(mut self, home: ShardId) -> Self {
        let at = LOG_SHARDS.iter().position(|shard| *shard == home).unwrap() as u128;
        self.id = (self.id & !1) | at;
        self
    }
}

impl LoggedRecord for Purchase {
    type Payload = Quantity;

    fn xid(&self) -> Xid {
        Xid(self.id.to_be_bytes())
    }

    fn shard(&self) -> ShardId {
        LOG_SHARDS[(self.id & 1) as usize]
    }

    fn branches(&self, out: &mut Vec<Branch<Quantity>>) {
        for (number, (shard, quantity)) in (0u8..).zip(&self.parts) {
            let payload = Quantity(*quantity);
            out.push(Branch {
                xid: self.xid(),
                number,
                shard: ShardId(*shard),
                payload,
            });
        }
    }
}
