//! An order database of a test, and what services would do to it.

use crate::world::shard_identity;
use domain::{AccountId, Leg, LegKind, OrderId, OrderState, encode_legs};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Pool};
use sqlx::mysql::MySqlPoolOptions;

pub struct Shard {
    pub url: String,
    pub schema: String,
    pool: Pool,
}

const INSERT: &str = "INSERT INTO orders (id, tenant, merchant, body_digest, state, version, currency, \
    amount, branches, reference, description, accepted_at, not_after, decide_by, next_attempt_at, \
    created_at, updated_at) VALUES (?, 'demo', 'shop', REPEAT('x', 32), 1, 1, 'USD', 2933, ?, ?, ?, \
    UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), UTC_TIMESTAMP(6), \
    UTC_TIMESTAMP(6))";

impl Shard {
    /// Makes a database of this name beside the one of the URL, with the order schema.
    pub async fn make(url: &str, index: u16, schema: &str) -> Self {
        let server = Opts::from_url(url).unwrap();
        let server = OptsBuilder::from_opts(server).db_name(None::<String>);
        let mut conn = Conn::new(server.clone()).await.expect("MySQL answers");
        conn.query_drop(format!("CREATE DATABASE {schema}"))
            .await
            .unwrap();
        let url = format!("{}/{schema}", url.rsplit_once('/').unwrap().0);
        let migrating = MySqlPoolOptions::new().connect(&url).await.unwrap();
        migrations::run(&migrating, shard_identity(index))
            .await
            .unwrap();
        migrating.close().await;
        Self {
            pool: Pool::new(server.db_name(Some(schema))),
            schema: schema.to_owned(),
            url,
        }
    }

    pub async fn conn(&self) -> Conn {
        self.pool.get_conn().await.unwrap()
    }

    pub async fn execute(&self, sql: &str) {
        self.conn().await.query_drop(sql).await.unwrap();
    }

    /// Accepts orders, all in one transaction.
    pub async fn accept(&self, count: usize) -> Vec<OrderId> {
        let ids: Vec<OrderId> = (0..count)
            .map(|_| OrderId::from_bytes(rand::random()))
            .collect();
        self.accept_these(&ids).await;
        ids
    }

    pub async fn accept_these(&self, ids: &[OrderId]) {
        let mut conn = self.conn().await;
        let mut transaction = conn.start_transaction(Default::default()).await.unwrap();
        let legs = [leg(LegKind::Debit, 1), leg(LegKind::Credit, 2)];
        let branches = encode_legs(&legs);
        let rows = ids.iter().enumerate().map(|(number, id)| {
            let reference = (number % 2 == 0).then(|| format!("cart-{number}"));
            (
                id.as_bytes().to_vec(),
                branches.clone(),
                reference,
                "Käse und Brot",
            )
        });
        transaction.exec_batch(INSERT, rows).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// Ends orders as paid, each with its next version, all in one transaction.
    pub async fn pay(&self, ids: &[OrderId]) {
        let paid = OrderState::Paid.code();
        let set = format!(
            "state = {paid}, captured = amount, version = version + 1, next_attempt_at = NULL"
        );
        self.update(&set, ids).await;
    }

    /// Takes a lease: a change that nobody outside sees.
    pub async fn lease(&self, ids: &[OrderId]) {
        self.update("attempts = attempts + 1", ids).await;
    }

    pub async fn update(&self, set: &str, ids: &[OrderId]) {
        for chunk in ids.chunks(1000) {
            let list: Vec<String> = chunk.iter().map(|id| format!("0x{}", hex(id))).collect();
            let sql = format!("UPDATE orders SET {set} WHERE id IN ({})", list.join(","));
            self.execute(&sql).await;
        }
    }

    /// Id, version and shown status of every order.
    pub async fn states(&self) -> Vec<(String, u64, String)> {
        let sql = "SELECT LOWER(HEX(id)), version, state FROM orders";
        let rows: Vec<(String, u64, u8)> = self.conn().await.query(sql).await.unwrap();
        let shown = |(id, version, state): (String, u64, u8)| {
            let status = OrderState::try_from(state).unwrap().status().as_str();
            (format!("ord_{id}"), version, status.to_owned())
        };
        rows.into_iter().map(shown).collect()
    }

    /// The server's uuid.
    pub async fn server_uuid(&self) -> String {
        let uuid = self.conn().await.query_first("SELECT @@server_uuid").await;
        uuid.unwrap().unwrap()
    }

    /// The connections that stream this server's binlog to somebody.
    pub async fn dump_connections(&self) -> Vec<u64> {
        let sql = "SELECT id FROM information_schema.processlist WHERE command LIKE 'Binlog Dump%'";
        self.conn().await.query(sql).await.unwrap()
    }

    /// Leaves no binlog but a fresh one: for a server of the test's own.
    pub async fn purge_binlogs(&self) {
        self.execute("FLUSH BINARY LOGS").await;
        let logs = self.conn().await.query("SHOW BINARY LOGS").await;
        let logs: Vec<mysql_async::Row> = logs.unwrap();
        let newest: String = logs.last().unwrap().get(0).unwrap();
        let purge = format!("PURGE BINARY LOGS TO '{newest}'");
        self.execute(&purge).await;
    }

    pub async fn remove(&self) {
        self.execute(&format!("DROP DATABASE {}", self.schema))
            .await;
        self.pool.clone().disconnect().await.unwrap();
    }
}

fn leg(kind: LegKind, account: u8) -> Leg {
    Leg {
        kind,
        account: AccountId::from_bytes([account; 16]),
        amount: 2933,
    }
}

fn hex(id: &OrderId) -> String {
    id.to_string().trim_start_matches("ord_").to_owned()
}
