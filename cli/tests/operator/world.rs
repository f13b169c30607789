//! Databases and topics of a test's own, made by `holdfast setup`, and short words for what most
//! tests do.

use crate::payments::{fresh, usd};
use domain::{
    AccountId, AccountKind, OrderId, OrderState, PaymentCommand, StoreKind, Xid, headers,
};
use futures_util::FutureExt;
use futures_util::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use service::kafka::KafkaSettings;
use sqlx::mysql::MySqlConnection;
use sqlx::{Connection, Executor};
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};
use store::{Funding, Lookup, NewAccount, OrderRow, Scope, Stores, StoresSettings};
use tokio::process::Command;

pub const BACK_OFFICE: Scope<'_> = Scope {
    tenant: "demo",
    merchant: None,
};
/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What one test has of its own.
#[derive(Clone)]
pub struct Own {
    pub stores: Stores,
    pub settings: StoresSettings,
    pub kafka: KafkaSettings,
    /// What our processes are told.
    pub env: BTreeMap<String, String>,
    pub group: String,
    producer: FutureProducer,
    databases: Vec<(String, String)>,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs a test, and drops what it had also when it fails.
pub async fn with_own<F: Future<Output = ()>>(test: impl FnOnce(Own) -> F) {
    let own = Own::create().await;
    let outcome = AssertUnwindSafe(test(own.clone())).catch_unwind().await;
    own.drop_all().await;
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests need the real servers; run them by `make test`")
    })
}

impl Own {
    async fn create() -> Self {
        let _ = rustls_provider();
        let run = uuid::Uuid::new_v4().simple().to_string()[..10].to_owned();
        let mut databases = Vec::new();
        let mut of = |name: &str, store: StoreKind| -> Vec<String> {
            let urls = variable(name);
            let own = urls.split(',').zip(0..).map(|(url, index)| {
                let (server, _) = url.rsplit_once('/').unwrap();
                let name = format!("t_{run}_{}_{index}", store.as_str());
                databases.push((server.to_owned(), name.clone()));
                format!("{server}/{name}")
            });
            own.collect()
        };
        let settings = StoresSettings {
            order_shards: of("HOLDFAST_ORDER_SHARDS", StoreKind::Orders),
            account_shards: of("HOLDFAST_ACCOUNT_SHARDS", StoreKind::Accounts),
            connect_timeout_ms: 20_000,
            ..StoresSettings::default()
        };
        for (server, name) in &databases {
            run_on(server, format!("CREATE DATABASE {name}")).await;
        }
        let mut kafka = KafkaSettings::of_brokers(variable("HOLDFAST_KAFKA_BROKERS"));
        kafka.commands_topic = format!("t.{run}.commands");
        kafka.dead_letter_topic = format!("t.{run}.commands.dlq");
        kafka.retry_topic = format!("t.{run}.retry");
        kafka.events_topic = format!("t.{run}.events");
        let group = format!("t-{run}");
        let own = Self {
            stores: Stores::connect(&settings).unwrap(),
            env: environment(&settings, &kafka, &group),
            producer: kafka.client_config().create().unwrap(),
            settings,
            kafka,
            group,
            databases,
        };
        let setup = own.holdfast(&["setup"]).await;
        assert_eq!(setup.code, 0, "{setup:?}");
        own
    }

    async fn drop_all(&self) {
        self.stores.close().await;
        let kafka = &self.kafka;
        let admin: AdminClient<DefaultClientContext> = kafka.client_config().create().unwrap();
        let (options, retry) = (AdminOptions::new(), format!("{}-retry", self.group));
        let topics = [
            kafka.commands_topic.as_str(),
            &kafka.dead_letter_topic,
            &kafka.retry_topic,
            &kafka.events_topic,
        ];
        let _ = admin.delete_groups(&[&self.group, &retry], &options).await;
        let _ = admin.delete_topics(&topics, &options).await;
        for (server, name) in &self.databases {
            run_on(server, format!("DROP DATABASE {name}")).await;
        }
    }

    /// Runs `holdfast` as an operator does.
    pub async fn holdfast(&self, args: &[&str]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
        let output = command.args(args).envs(&self.env).output().await.unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        eprint!("{err}");
        Said {
            err,
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
        }
    }

    /// An open account on this account shard with this much money.
    pub async fn account_on(&self, shard: u16, money: i64) -> AccountId {
        let id = loop {
            let id = AccountId::from_bytes(fresh());
            if self.stores.routing().account_shard(id).index == shard {
                break id;
            }
        };
        let new = NewAccount {
            id,
            tenant: "demo".into(),
            merchant: None,
            kind: AccountKind::Customer,
            currency: usd(),
            name: "a customer".into(),
            body_digest: None,
        };
        self.stores.accounts.open(&new).await.unwrap();
        if money > 0 {
            let funding = Funding {
                xid: Xid::from_bytes(fresh()),
                account: id,
                amount: money,
                currency: usd(),
            };
            let funded = self.stores.accounts.fund(BACK_OFFICE, &funding).await;
            funded.unwrap();
        }
        id
    }

    /// Ledger balance, what is held, and the number of entries.
    pub async fn money(&self, id: AccountId) -> (i64, i64, u64) {
        let found = self.stores.accounts.find(BACK_OFFICE, id).await;
        let account = found.unwrap().unwrap();
        (account.ledger_balance, account.held, account.last_entry)
    }

    /// Puts commands on the topic as the API does; answers their orders.
    pub async fn send(&self, commands: &[PaymentCommand]) -> Vec<OrderId> {
        let send = commands.iter().map(|command| async {
            let value = serde_json::to_string(command).unwrap();
            self.produce(&command.order_id.to_string(), &value).await;
        });
        join_all(send).await;
        commands.iter().map(|command| command.order_id).collect()
    }

    /// Puts anything on the topic; answers partition and offset.
    pub async fn produce(&self, key: &str, value: &str) -> (i32, i64) {
        let headers = [(headers::TYPE, domain::COMMAND_TYPE), ("mine", "kept")];
        let mut list = OwnedHeaders::new();
        for (key, value) in headers {
            let value = Some(value);
            list = list.insert(Header { key, value });
        }
        let record = FutureRecord::to(&self.kafka.commands_topic);
        let record = record.key(key).payload(value).headers(list);
        let delivery = self.producer.send(record, PATIENCE).await.unwrap();
        (delivery.partition, delivery.offset)
    }

    /// The rows of these orders that exist.
    pub async fn rows(&self, ids: &[OrderId]) -> Vec<OrderRow> {
        let found = self.stores.orders.find(ids).await.into_iter();
        let row = |lookup| match lookup {
            Lookup::Found(row) => Some(*row),
            Lookup::Missing => None,
            Lookup::Unreachable(cause) | Lookup::Unreadable(cause) => panic!("{cause}"),
        };
        found.filter_map(row).collect()
    }

    /// Waits until each of these orders has a row like this.
    pub async fn until_all(&self, ids: &[OrderId], what: &str, is_so: impl Fn(&OrderRow) -> bool) {
        eventually(what, async || {
            let rows = self.rows(ids).await;
            (rows.len() == ids.len() && rows.iter().all(&is_so)).then_some(())
        })
        .await;
    }

    /// Waits until all are paid.
    pub async fn until_paid(&self, ids: &[OrderId]) {
        self.until_all(ids, "all are paid", |row| row.state == OrderState::Paid)
            .await;
    }

    /// A connection of somebody else's to this account shard.
    pub async fn stranger_on(&self, shard: u16) -> MySqlConnection {
        let url = &self.settings.account_shards[usize::from(shard)];
        MySqlConnection::connect(url).await.unwrap()
    }

    /// Asserts that money is right and nothing accepted was lost.
    pub async fn verify(&self) {
        let said = self.holdfast(&["verify"]).await;
        assert_eq!(said.code, 0, "{said:?}");
    }
}

fn environment(
    stores: &StoresSettings,
    kafka: &KafkaSettings,
    group: &str,
) -> BTreeMap<String, String> {
    let redis = variable("HOLDFAST_REDIS_URL");
    let pairs = [
        (
            "HOLDFAST__STORES__ORDER_SHARDS",
            stores.order_shards.join(","),
        ),
        (
            "HOLDFAST__STORES__ACCOUNT_SHARDS",
            stores.account_shards.join(","),
        ),
        ("HOLDFAST__KAFKA__BROKERS", kafka.brokers.clone()),
        (
            "HOLDFAST__KAFKA__COMMANDS_TOPIC",
            kafka.commands_topic.clone(),
        ),
        (
            "HOLDFAST__KAFKA__DEAD_LETTER_TOPIC",
            kafka.dead_letter_topic.clone(),
        ),
        ("HOLDFAST__KAFKA__RETRY_TOPIC", kafka.retry_topic.clone()),
        ("HOLDFAST__KAFKA__EVENTS_TOPIC", kafka.events_topic.clone()),
        ("HOLDFAST__WORKER__GROUP_ID", group.to_owned()),
        (
            "HOLDFAST__STORES__CONNECT_TIMEOUT_MS",
            stores.connect_timeout_ms.to_string(),
        ),
        ("HOLDFAST__REDIS__URL", redis),
        // Search is not ours to test, and off there.
        ("HOLDFAST_SEARCH", "off".to_owned()),
    ];
    let pairs = pairs.into_iter();
    pairs.map(|(name, text)| (name.to_owned(), text)).collect()
}

/// Asks until there is an answer.
pub async fn eventually<T>(what: &str, question: impl AsyncFn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn rustls_provider() -> Result<(), ()> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.install_default().map_err(drop)
}

async fn run_on(server: &str, statement: String) {
    let url = format!("{server}/");
    let mut conn = MySqlConnection::connect(&url).await.unwrap();
    conn.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    conn.close().await.unwrap();
}
