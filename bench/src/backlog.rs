//! A backlog of orders on Kafka, written straight to the topic as the API would write it.

use anyhow::{Context, Result};
use chrono::{TimeDelta, Utc};
use domain::{
    COMMAND_TYPE, CONTENT_TYPE, OrderId, PaymentBody, PaymentCommand, SCHEMA_VERSION, headers,
};
use futures_util::future::try_join_all;
use rand::Rng;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::accounts::{Accounts, Transfer};
use crate::load::CURRENCY;

/// Where commands are put.
pub const COMMANDS_TOPIC: &str = "payment.commands";
/// One order in so many is cancelled: its payer has nothing.
pub const REFUSED_ONE_IN: usize = 20;
/// Records whose acknowledgements are awaited together.
const CHUNK: usize = 5_000;

/// A producer with the settings of the API's.
pub fn producer(brokers: &str) -> Result<FutureProducer> {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", LINGER_MS)
        .create()
        .context("cannot make a Kafka producer")
}

/// As in the API's default settings, so that the echo waits no longer.
const LINGER_MS: &str = "0.5";

/// Puts so many orders on the topic and waits until all are acknowledged.
pub async fn produce(brokers: &str, accounts: &Accounts, orders: usize) -> Result<()> {
    let producer = producer(brokers)?;
    let mut made = 0;
    while made < orders {
        let chunk = CHUNK.min(orders - made);
        let sends = (made..made + chunk).map(|place| {
            let mut rng = rand::rng();
            let transfer = if place % REFUSED_ONE_IN == 0 {
                accounts.draw_refused(&mut rng)
            } else {
                accounts.draw(&mut rng)
            };
            send(&producer, command(&transfer))
        });
        try_join_all(sends).await?;
        made += chunk;
    }
    Ok(())
}

/// How many of so many orders will be cancelled.
pub fn refused(orders: usize) -> usize {
    orders.div_ceil(REFUSED_ONE_IN)
}

/// The command that the API would write for this transfer.
pub fn command(transfer: &Transfer) -> Result<PaymentCommand> {
    let order_id = OrderId::from_bytes(rand::rng().random());
    let accepted_at = Utc::now();
    let body = PaymentBody {
        payer: transfer.payer,
        payee: transfer.payee,
        amount: transfer.amount,
        currency: CURRENCY.parse()?,
        reference: Some("backlog".to_owned()),
        description: Some("Order of the bench".to_owned()),
        metadata: None,
    };
    Ok(PaymentCommand {
        order_id,
        tenant: "demo".to_owned(),
        merchant: "bench".to_owned(),
        body_digest: body.digest(),
        payer: body.payer,
        payee: body.payee,
        amount: body.amount,
        currency: body.currency,
        reference: body.reference,
        description: body.description,
        metadata: None,
        accepted_at,
        not_after: accepted_at + TimeDelta::days(1),
    })
}

async fn send(producer: &FutureProducer, command: Result<PaymentCommand>) -> Result<()> {
    let command = command?;
    let key = command.order_id.to_string();
    let value = serde_json::to_vec(&command)?;
    let version = SCHEMA_VERSION.to_string();
    let text = |key, value| Header {
        key,
        value: Some(value),
    };
    let record = FutureRecord::to(COMMANDS_TOPIC)
        .key(&key)
        .payload(&value)
        .headers(
            OwnedHeaders::new_with_capacity(3)
                .insert(text(headers::TYPE, COMMAND_TYPE))
                .insert(text(headers::CONTENT_TYPE, CONTENT_TYPE))
                .insert(text(headers::SCHEMA_VERSION, version.as_str())),
        );
    let sent = producer
        .send(record, std::time::Duration::from_secs(30))
        .await;
    sent.map_err(|(error, _)| error)
        .context("a command was not acknowledged")?;
    Ok(())
}
