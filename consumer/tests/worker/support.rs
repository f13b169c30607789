//! Databases, topics and a group of a test's own, and short words for what most tests do.

use crate::databases::{migrate, run_on};
use consumer::settings::{DEFAULT_TOML, Settings};
use consumer::topics;
use domain::{
    AccountId, AccountKind, BodyDigest, Currency, OrderId, OrderState, PaymentCommand, StoreKind,
    Xid,
};
use futures_util::FutureExt;
use futures_util::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::FutureProducer;
use service::kafka::KafkaSettings;
use service::redis::RedisSettings;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};
use store::{Lookup, NewAccount, Scope, Stores, StoresSettings};

pub const BACK_OFFICE: Scope<'_> = Scope {
    tenant: "demo",
    merchant: None,
};
/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// 16 bytes that no other call of any test run gives.
pub fn fresh() -> [u8; 16] {
    *uuid::Uuid::new_v4().as_bytes()
}

pub fn usd() -> Currency {
    "USD".parse().unwrap()
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: these tests need the real servers; run them by `make test`")
    })
}

/// What one test has of its own.
#[derive(Clone)]
pub struct Own {
    pub stores: Stores,
    pub stores_settings: StoresSettings,
    pub settings: Settings,
    pub producer: FutureProducer,
    databases: Vec<(String, String)>,
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

impl Own {
    async fn create() -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let run = hex(&fresh()[..5]);
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
        let stores_settings = StoresSettings {
            order_shards: of("HOLDFAST_ORDER_SHARDS", StoreKind::Orders),
            account_shards: of("HOLDFAST_ACCOUNT_SHARDS", StoreKind::Accounts),
            connections_max: 6,
            connect_timeout_ms: 3_000,
            ..StoresSettings::default()
        };
        for (server, name) in &databases {
            run_on(server, format!("CREATE DATABASE {name}")).await;
        }
        let stores = Stores::connect(&stores_settings).unwrap();
        let names = stores.routing().names();
        join_all(names.map(|name| migrate(&stores_settings, name))).await;
        let settings = own_settings(&run);
        topics::ensure(
            &settings.kafka,
            &settings.topics,
            stores.routing().order_shards(),
        )
        .await
        .unwrap();
        let producer = settings.kafka.client_config().create().unwrap();
        Self {
            stores,
            stores_settings,
            settings,
            producer,
            databases,
        }
    }

    async fn drop_all(&self) {
        self.stores.close().await;
        let kafka = &self.settings.kafka;
        let admin: AdminClient<DefaultClientContext> = kafka.client_config().create().unwrap();
        let (options, worker) = (AdminOptions::new(), &self.settings.worker);
        let topics = [
            kafka.commands_topic.as_str(),
            &kafka.dead_letter_topic,
            &kafka.retry_topic,
            &kafka.events_topic,
        ];
        let groups = [worker.group_id.as_str(), &worker.retry_group_id()];
        let _ = admin.delete_groups(&groups, &options).await;
        let _ = admin.delete_topics(&topics, &options).await;
        for (server, name) in &self.databases {
            run_on(server, format!("DROP DATABASE {name}")).await;
        }
    }

    /// An open account with this much money.
    pub async fn account(&self, money: i64) -> AccountId {
        let id = AccountId::from_bytes(fresh());
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
            let funding = store::Funding {
                xid: Xid::from_bytes(fresh()),
                account: id,
                amount: money,
                currency: usd(),
            };
            self.stores
                .accounts
                .fund(BACK_OFFICE, &funding)
                .await
                .unwrap();
        }
        id
    }

    /// Ledger balance and what is held.
    pub async fn money(&self, id: AccountId) -> (i64, i64) {
        let account = self.stores.accounts.find(BACK_OFFICE, id).await;
        let account = account.unwrap().unwrap();
        (account.ledger_balance, account.held)
    }

    /// The states of these orders; none where there is no row or no answer.
    pub async fn states(&self, ids: &[OrderId]) -> Vec<Option<OrderState>> {
        let found = self.stores.orders.find(ids).await.into_iter();
        let state = |lookup| match lookup {
            Lookup::Found(row) => Some(row.state),
            Lookup::Missing | Lookup::Unreachable(_) | Lookup::Unreadable(_) => None,
        };
        found.map(state).collect()
    }

    /// Waits until all of these orders have ended; answers how.
    pub async fn ended(&self, ids: &[OrderId]) -> Vec<OrderState> {
        let ended = |state: &Option<OrderState>| {
            matches!(state, Some(OrderState::Paid | OrderState::Cancelled))
        };
        eventually("every order has ended", async || {
            let states = self.states(ids).await;
            states.iter().all(ended).then_some(states)
        })
        .await
        .into_iter()
        .flatten()
        .collect()
    }
}

fn own_settings(run: &str) -> Settings {
    let mut settings: Settings = service::settings::load(DEFAULT_TOML, None).unwrap();
    settings.kafka = KafkaSettings::of_brokers(variable("HOLDFAST_KAFKA_BROKERS"));
    settings.kafka.commands_topic = format!("t.{run}.commands");
    settings.kafka.dead_letter_topic = format!("t.{run}.commands.dlq");
    settings.kafka.retry_topic = format!("t.{run}.retry");
    settings.kafka.events_topic = format!("t.{run}.events");
    settings.redis = RedisSettings::of_url(variable("HOLDFAST_REDIS_URL"));
    settings.redis.key_prefix = format!("t:{run}:");
    settings.worker.group_id = format!("t-{run}");
    settings.orders.lease_ms = 2_000;
    settings
}

/// A payment accepted now and good for a day.
pub fn command(payer: AccountId, payee: AccountId, amount: i64) -> PaymentCommand {
    let id = fresh();
    PaymentCommand {
        order_id: OrderId::from_bytes(id),
        tenant: "demo".into(),
        merchant: "shop".into(),
        payer,
        payee,
        amount,
        currency: usd(),
        reference: None,
        description: None,
        metadata: None,
        body_digest: BodyDigest::of_parts([&id[..]]),
        accepted_at: chrono::Utc::now(),
        not_after: chrono::Utc::now() + chrono::TimeDelta::days(1),
    }
}

pub fn json(command: &PaymentCommand) -> String {
    serde_json::to_string(command).unwrap()
}

/// Asks until there is an answer.
pub async fn eventually<T>(what: &str, question: impl AsyncFn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
