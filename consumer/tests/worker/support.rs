//! Databases, topics and a group of a test's own, and short words for what most tests do.

use consumer::batches::Engine;
use consumer::dead_letters::DeadLetters;
use consumer::settings::{DEFAULT_TOML, Settings, WorkerSettings};
use consumer::stream::Stream;
use consumer::topics;
use consumer::wake::Waker;
use consumer::worker::{Worker, WorkerError, WorkerParts};
use domain::{
    AccountId, AccountKind, BodyDigest, Currency, OrderId, OrderState, PaymentCommand, ShardName,
    StoreKind, Xid, headers,
};
use futures_util::FutureExt;
use futures_util::future::join_all;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use saga::Sweeper;
use service::admin::Readiness;
use service::kafka::KafkaSettings;
use service::redis::RedisSettings;
use sqlx::mysql::{MySqlConnection, MySqlPool};
use sqlx::{Connection, Executor};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use store::{Lookup, NewAccount, Scope, Stores, StoresSettings};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

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
    producer: FutureProducer,
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

/// A worker with its sweeper, running in this process.
pub struct Running {
    stop: CancellationToken,
    worker: JoinHandle<Result<(), WorkerError>>,
    sweeper: JoinHandle<()>,
    pub readiness: Readiness,
}

impl Running {
    /// As SIGTERM does.
    pub async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(PATIENCE, self.worker).await;
        ended.expect("the worker stops in time").unwrap().unwrap();
        self.sweeper.await.unwrap();
    }

    /// As kill -9 does, as far as that goes in one process.
    pub fn kill(self) {
        self.worker.abort();
        self.sweeper.abort();
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
        topics::ensure(&settings.kafka, &settings.topics)
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
        let (options, group) = (AdminOptions::new(), &self.settings.worker.group_id);
        let topics = [kafka.commands_topic.as_str(), &kafka.dead_letter_topic];
        let _ = admin.delete_groups(&[group], &options).await;
        let _ = admin.delete_topics(&topics, &options).await;
        for (server, name) in &self.databases {
            run_on(server, format!("DROP DATABASE {name}")).await;
        }
    }

    /// A worker as the service runs it.
    pub fn worker(&self) -> Running {
        self.worker_with(&self.stores_settings, |_| {})
    }

    pub fn worker_with(
        &self,
        stores: &StoresSettings,
        change: impl FnOnce(&mut WorkerSettings),
    ) -> Running {
        let stores = Stores::connect(stores).unwrap();
        let mut settings = self.settings.worker.clone();
        change(&mut settings);
        let log = stores.order_log(self.settings.orders);
        let coordinator = self.settings.coordinator.clone();
        let participant = stores.account_participant();
        let engine = Arc::new(Engine::new(log, participant, stores.shards(), coordinator));
        let sweeper = Sweeper::new(engine.clone(), self.settings.sweeper.clone());
        let kafka = &self.settings.kafka;
        let readiness = Readiness::waiting_for(&["kafka"]);
        let parts = WorkerParts {
            stream: Stream::open(kafka, &settings).unwrap(),
            engine,
            routing: stores.routing().clone(),
            dead_letters: DeadLetters::new(kafka, settings.dead_letter_timeout_ms).unwrap(),
            waker: Waker::start(&self.settings.redis, settings.wake_queue_batches_max).unwrap(),
            readiness: readiness.clone(),
        };
        let stop = CancellationToken::new();
        Running {
            worker: tokio::spawn(Worker::new(parts, settings).run(stop.clone())),
            sweeper: tokio::spawn(sweeper.run(stop.clone())),
            stop,
            readiness,
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

    /// Puts a command on the topic as the API does; answers its order.
    pub async fn send(&self, command: &PaymentCommand) -> OrderId {
        let key = command.order_id.to_string();
        self.produce(Some(&key), &json(command), &[]).await;
        command.order_id
    }

    pub async fn send_all(&self, commands: &[PaymentCommand]) -> Vec<OrderId> {
        join_all(commands.iter().map(|command| self.send(command))).await
    }

    /// Puts anything on the topic; answers partition and offset.
    pub async fn produce(
        &self,
        key: Option<&str>,
        value: &str,
        more: &[(&str, &str)],
    ) -> (i32, i64) {
        let usual = [(headers::TYPE, domain::COMMAND_TYPE)];
        let usual = usual
            .iter()
            .filter(|(name, _)| !more.iter().any(|(key, _)| key == name));
        let mut list = OwnedHeaders::new();
        for (key, value) in usual.chain(more) {
            let value = Some(*value);
            list = list.insert(Header { key, value });
        }
        let mut record = FutureRecord::<str, str>::to(&self.settings.kafka.commands_topic);
        (record.key, record.payload) = (key, Some(value));
        let sent = self.producer.send(record.headers(list), PATIENCE).await;
        let delivery = sent.unwrap();
        (delivery.partition, delivery.offset)
    }

    /// The states of these orders; none where there is no row or no answer.
    pub async fn states(&self, ids: &[OrderId]) -> Vec<Option<OrderState>> {
        let found = self.stores.orders.find(ids).await.into_iter();
        let state = |lookup| match lookup {
            Lookup::Found(row) => Some(row.state),
            Lookup::Missing | Lookup::Unreachable(_) => None,
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

    /// Waits until every record on the topic is committed.
    pub async fn all_committed(&self) {
        eventually("every offset is committed", async || {
            let (committed, ends) = (self.committed().await, self.ends().await);
            (committed == ends).then_some(())
        })
        .await;
    }

    /// The committed offset of each partition, 0 where there is none.
    pub async fn committed(&self) -> Vec<i64> {
        let (topic, partitions) = self.topic();
        self.ask(move |consumer| {
            let mut list = TopicPartitionList::new();
            list.add_partition_range(&topic, 0, partitions - 1);
            let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
            let offset = |partition| match committed.find_partition(&topic, partition) {
                Some(found) => match found.offset() {
                    Offset::Offset(offset) => offset,
                    _ => 0,
                },
                None => 0,
            };
            (0..partitions).map(offset).collect()
        })
        .await
    }

    /// The end of each partition.
    pub async fn ends(&self) -> Vec<i64> {
        let (topic, partitions) = self.topic();
        self.ask(move |consumer| {
            // A new client may not know every partition at once.
            let end = |partition| loop {
                match consumer.fetch_watermarks(&topic, partition, PATIENCE) {
                    Ok((_, end)) => return end,
                    Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownPartition)) => {
                        std::thread::sleep(Duration::from_millis(100));
                    }
                    Err(error) => panic!("{error}"),
                }
            };
            (0..partitions).map(end).collect()
        })
        .await
    }

    /// Waits for this many dead letters.
    pub async fn dead_letters(&self, count: usize) -> Vec<OwnedMessage> {
        let topic = self.settings.kafka.dead_letter_topic.clone();
        self.ask(move |consumer| {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, 0, Offset::Beginning)
                .unwrap();
            consumer.assign(&list).unwrap();
            let (mut found, start) = (Vec::new(), Instant::now());
            while found.len() < count && start.elapsed() < PATIENCE {
                if let Some(message) = consumer.poll(Duration::from_millis(100)) {
                    found.push(message.unwrap().detach());
                }
            }
            found
        })
        .await
    }

    fn topic(&self) -> (String, i32) {
        let partitions = i32::from(self.settings.topics.partitions);
        (self.settings.kafka.commands_topic.clone(), partitions)
    }

    /// Asks the broker with a client of the group that does not join it.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&BaseConsumer) -> T + Send + 'static,
    ) -> T {
        let mut config = self.settings.kafka.client_config();
        config.set("group.id", &self.settings.worker.group_id);
        let asked = tokio::task::spawn_blocking(move || {
            let consumer: BaseConsumer = config.create().unwrap();
            question(&consumer)
        });
        asked.await.unwrap()
    }
}

fn own_settings(run: &str) -> Settings {
    let mut settings: Settings = service::settings::load(DEFAULT_TOML, None).unwrap();
    settings.kafka = KafkaSettings::of_brokers(variable("HOLDFAST_KAFKA_BROKERS"));
    settings.kafka.commands_topic = format!("t.{run}.commands");
    settings.kafka.dead_letter_topic = format!("t.{run}.commands.dlq");
    settings.redis = RedisSettings::of_url(variable("HOLDFAST_REDIS_URL"));
    settings.redis.key_prefix = format!("t:{run}:");
    settings.worker.group_id = format!("t-{run}");
    settings.worker.session_timeout_ms = 6_000;
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

async fn migrate(settings: &StoresSettings, name: ShardName) {
    let url = &settings.urls(name.store)[usize::from(name.index)];
    let pool = MySqlPool::connect(url).await.unwrap();
    let identity = migrations::ShardIdentity {
        name,
        slot_map_epoch: settings.slot_map_epoch,
    };
    migrations::run(&pool, identity).await.unwrap();
    pool.close().await;
}

async fn run_on(server: &str, statement: String) {
    let url = format!("{server}/");
    let mut conn = MySqlConnection::connect(&url).await.unwrap();
    conn.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    conn.close().await.unwrap();
}
