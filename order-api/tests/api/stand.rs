//! What one test stands on: its own databases, topic, Redis prefix and keys, and API processes
//! (in this process, each with its own handles) over them.

use crate::client::Client;
use crate::tokens::{ALL_SCOPES, Keys, claims};
use crate::topic::{self, Record};
use domain::{AccountId, BodyDigest, OrderId, ShardName, SlotMap, StoreKind};
use futures_util::FutureExt;
use order_api::{Api, DEFAULT_TOML, Settings};
use serde_json::{Value, json};
use sqlx::Connection;
use sqlx::mysql::{MySqlConnection, MySqlPool};
use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub struct Stand {
    pub run: String,
    pub keys: Keys,
    folder: tempfile::TempDir,
    databases: Vec<(String, String)>,
    brokers: String,
    running: Mutex<Vec<Running>>,
}

struct Running {
    stop: CancellationToken,
    served: JoinHandle<anyhow::Result<()>>,
}

pub fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests need the real servers; run them by `make test`")
    })
}

/// Runs a test on a stand of its own, and clears it away also when the test fails.
pub async fn with_stand<F: Future<Output = ()>>(test: impl FnOnce(&'static Stand) -> F) {
    // A test's future borrows it for as long as it runs, which the compiler cannot see.
    let stand: &'static Stand = Box::leak(Box::new(Stand::new().await));
    let outcome = AssertUnwindSafe(test(stand)).catch_unwind().await;
    stand.clear_away().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

impl Stand {
    async fn new() -> Self {
        service::start("test");
        let run = format!("{:010x}", rand::random::<u64>() >> 24);
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::make(folder.path());
        std::fs::write(folder.path().join("ids.key"), "0f".repeat(32)).unwrap();
        std::fs::write(folder.path().join("cursors.key"), "1e".repeat(32)).unwrap();
        let stand = Self {
            databases: database_names(&run),
            brokers: variable("HOLDFAST_KAFKA_BROKERS"),
            running: Mutex::default(),
            run,
            keys,
            folder,
        };
        for (index, (server, name)) in stand.databases.iter().enumerate() {
            run_on(server, format!("CREATE DATABASE {name}")).await;
            let pool = MySqlPool::connect(&format!("{server}/{name}"))
                .await
                .unwrap();
            let store = if index < 2 {
                StoreKind::Orders
            } else {
                StoreKind::Accounts
            };
            let name = ShardName {
                store,
                index: index as u16 % 2,
            };
            let identity = migrations::ShardIdentity {
                name,
                slot_map_epoch: 1,
            };
            migrations::run(&pool, identity).await.unwrap();
            pool.close().await;
        }
        topic::make(&stand.brokers, &stand.topic()).await;
        stand
    }

    /// The settings of an API process on this stand.
    pub fn settings(&self) -> Settings {
        let mut settings: Settings = toml::from_str(DEFAULT_TOML).unwrap();
        let folder = self.folder.path();
        let url = |(server, name): &(String, String)| format!("{server}/{name}");
        settings.http.listen = "127.0.0.1:0".parse().unwrap();
        settings.http.shutdown_notice_ms = 0;
        settings.auth.keys_dir = folder.to_owned();
        settings.ids.mac_key_file = folder.join("ids.key");
        settings.cursors.key_file = folder.join("cursors.key");
        settings.stores.order_shards = self.databases[..2].iter().map(url).collect();
        settings.stores.account_shards = self.databases[2..].iter().map(url).collect();
        settings.kafka.brokers = self.brokers.clone();
        settings.kafka.commands_topic = self.topic();
        settings.redis.url = variable("HOLDFAST_REDIS_URL");
        settings.redis.key_prefix = format!("t_{}:", self.run);
        // The machine is busy with other tests; what is tested is not how fast Redis is.
        settings.idempotency.redis_timeout_ms = 1000;
        settings.search.url = variable("HOLDFAST_SEARCH_URL");
        settings.search.alias = format!("t-{}-orders", self.run);
        settings.search.index = format!("t-{}-orders-v1", self.run);
        settings.search.follower_index = format!("t-{}-follower", self.run);
        settings
    }

    pub fn topic(&self) -> String {
        format!("t_{}_commands", self.run)
    }

    /// An API process, ready.
    pub async fn start(&self) -> String {
        self.start_with(|_| ()).await
    }

    /// An API process with changed settings, ready.
    pub async fn start_with(&self, change: impl FnOnce(&mut Settings)) -> String {
        let (url, readiness) = self.start_unready(change).await;
        for _ in 0..600 {
            if readiness.check().is_ok() {
                return url;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("the API is not ready: {:?}", readiness.check());
    }

    /// An API process that may never become ready.
    pub async fn start_unready(
        &self,
        change: impl FnOnce(&mut Settings),
    ) -> (String, service::admin::Readiness) {
        let mut settings = self.settings();
        change(&mut settings);
        let stop = CancellationToken::new();
        let api = Api::bind(settings, stop.clone()).await.unwrap();
        let (url, readiness) = (format!("http://{}", api.address), api.readiness.clone());
        let served = tokio::spawn(api.serve());
        self.running.lock().unwrap().push(Running { stop, served });
        (url, readiness)
    }

    /// Ends the newest API process orderly.
    pub async fn stop_newest(&self) {
        let newest = self.running.lock().unwrap().pop().unwrap();
        newest.stop.cancel();
        newest.served.await.unwrap().unwrap();
    }

    /// The merchant `shop` of the tenant `demo`, with every scope.
    pub fn shop(&self, url: &str) -> Client {
        self.client(url, "demo", Some("shop"), ALL_SCOPES)
    }

    pub fn client(&self, url: &str, tenant: &str, merchant: Option<&str>, scope: &str) -> Client {
        Client::new(
            url,
            Some(self.keys.ed25519(&claims(tenant, merchant, scope))),
        )
    }

    /// Every record of the topic.
    pub async fn records(&self) -> Vec<Record> {
        let (brokers, name) = (self.brokers.clone(), self.topic());
        tokio::task::spawn_blocking(move || topic::read_all(&brokers, &name))
            .await
            .unwrap()
    }

    /// Deletes every key of this stand in Redis.
    pub async fn empty_redis(&self) {
        let mut connection = redis().await;
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg(format!("t_{}:*", self.run))
            .query_async(&mut connection)
            .await
            .unwrap();
        for key in keys {
            redis::cmd("DEL")
                .arg(key)
                .exec_async(&mut connection)
                .await
                .unwrap();
        }
    }

    /// What stands in Redis of an order, and for how many seconds yet.
    pub async fn mark(&self, order_id: &str) -> Option<(String, u64)> {
        let (text, ttl_s): (Option<String>, i64) = redis::pipe()
            .get(self.mark_key(order_id))
            .ttl(self.mark_key(order_id))
            .query_async(&mut redis().await)
            .await
            .unwrap();
        text.map(|text| (text, u64::try_from(ttl_s).unwrap()))
    }

    /// Puts this into Redis, as some other API process might have.
    pub async fn set_mark(&self, order_id: &str, text: &str) {
        redis::cmd("SET")
            .arg((self.mark_key(order_id), text, "EX", 60))
            .exec_async(&mut redis().await)
            .await
            .unwrap();
    }

    fn mark_key(&self, order_id: &str) -> String {
        format!("t_{}:idem:{order_id}", self.run)
    }

    /// The row that a consumer would leave of this record, in this state (code and reason).
    pub async fn insert_row(&self, record: &Value, state: (u8, u8)) {
        let id: OrderId = record["order_id"].as_str().unwrap().parse().unwrap();
        let digest: BodyDigest = serde_json::from_value(record["body_digest"].clone()).unwrap();
        let account = |name: &str| record[name].as_str().unwrap().trim_start_matches("acct_");
        let amount = record["amount"].as_i64().unwrap();
        let legs = json!([
            ["d", account("payer"), amount],
            ["c", account("payee"), amount]
        ]);
        let captured = if state.0 == 10 { amount } else { 0 };
        let metadata = &record["metadata"];
        let metadata = metadata.is_object().then(|| metadata.to_string());
        sqlx::query(INSERT_ROW)
            .bind(&id.as_bytes()[..])
            .bind(record["tenant"].as_str())
            .bind(record["merchant"].as_str())
            .bind(&digest.as_bytes()[..])
            .bind(state.0)
            .bind(state.1)
            .bind(record["currency"].as_str())
            .bind(amount)
            .bind(captured)
            .bind(legs.to_string())
            .bind(record["reference"].as_str())
            .bind(record["description"].as_str())
            .bind(metadata)
            .execute(&mut self.order_shard_of(id).await)
            .await
            .unwrap();
    }

    /// A connection to where the order's row is, or would be.
    pub async fn order_shard_of(&self, id: OrderId) -> MySqlConnection {
        self.database_of(id.as_bytes(), 0).await
    }

    /// A connection to where the account's rows are.
    pub async fn account_shard_of(&self, id: AccountId) -> MySqlConnection {
        self.database_of(id.as_bytes(), 2).await
    }

    /// Runs a statement on each account shard.
    pub async fn on_account_shards(&self, statement: &str) {
        for (server, name) in &self.databases[2..] {
            run_on(&format!("{server}/{name}"), statement.to_owned()).await;
        }
    }

    async fn database_of(&self, id: &[u8; 16], first: usize) -> MySqlConnection {
        let shard = SlotMap::even(1, 2).unwrap().shard_of(id);
        let (server, name) = &self.databases[first + usize::from(shard)];
        MySqlConnection::connect(&format!("{server}/{name}"))
            .await
            .unwrap()
    }

    async fn clear_away(&self) {
        let running: Vec<Running> = self.running.lock().unwrap().drain(..).collect();
        for api in running {
            api.stop.cancel();
            // A test that failed has said why; this is only tidying.
            let _ = tokio::time::timeout(Duration::from_secs(40), api.served).await;
        }
        for (server, name) in &self.databases {
            run_on(server, format!("DROP DATABASE {name}")).await;
        }
        topic::remove(&self.brokers, &self.topic()).await;
        self.empty_redis().await;
    }
}

const INSERT_ROW: &str = "INSERT INTO orders (id, tenant, merchant, body_digest, state, reason,
     version, currency, amount, captured, branches, reference, description, metadata, accepted_at,
     not_after, decide_by, next_attempt_at, created_at, updated_at)
 VALUES (?, ?, ?, ?, ?, ?, 3, ?, ?, ?, ?, ?, ?, ?, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6),
     UTC_TIMESTAMP(6), NULL, UTC_TIMESTAMP(6), UTC_TIMESTAMP(6))";

fn database_names(run: &str) -> Vec<(String, String)> {
    let of = |name: &str, store: &str| -> Vec<(String, String)> {
        let urls = variable(name);
        let named = urls.split(',').zip(0..).map(|(url, index)| {
            let (server, _) = url.trim().rsplit_once('/').unwrap();
            (server.to_owned(), format!("t_{run}_{store}_{index}"))
        });
        named.collect()
    };
    let mut names = of("HOLDFAST_ORDER_SHARDS", "orders");
    names.extend(of("HOLDFAST_ACCOUNT_SHARDS", "accounts"));
    names
}

async fn redis() -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(variable("HOLDFAST_REDIS_URL")).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

async fn run_on(server: &str, statement: String) {
    let mut conn = MySqlConnection::connect(server).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&mut conn)
        .await
        .unwrap();
    conn.close().await.unwrap();
}

/// An order between two accounts that need not exist: nobody works on it here.
pub fn order(amount: i64) -> Value {
    json!({
        "payer": format!("acct_{:032x}", 0xa), "payee": format!("acct_{:032x}", 0xb),
        "amount": amount, "currency": "USD",
    })
}
