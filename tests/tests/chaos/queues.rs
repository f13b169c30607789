//! What an outage of the databases puts into bounded queues is told, and all of it comes free again.

use crate::live::{Live, live, until};
use anyhow::{Result, ensure};
use holdfast_tests::Merchant;
use stack::ServerName;
use std::time::Duration;

const API: ServerName = ServerName::OrderApi;
const WORKER: ServerName = ServerName::Consumer(1);
const WITHIN: Duration = Duration::from_secs(30);

/// The queues that it fills: whose each is, its metric, and the word in its label.
const FILLED: [(ServerName, &str, &str); 3] = [
    (API, "order_api_places_taken", "waiting_requests"),
    (WORKER, "consumer_room_taken_kib", "read"),
    (WORKER, "consumer_room_taken_kib", "parked"),
];

/// Waits until each metric is as it is meant to be.
async fn become_all(live: &Live, what: &str, meant: impl Fn(f64) -> bool) -> Result<()> {
    for (service, metric, label) in FILLED {
        let told = format!("{metric} of {label} is {what}");
        until(WITHIN, &told, async || {
            let value = live
                .metric(service, metric, &format!("\"{label}\""))
                .await?;
            Ok(meant(value))
        })
        .await?;
    }
    Ok(())
}

/// While the databases are away, orders and whoever waits for them fill the queues.
#[tokio::test]
async fn what_fills_the_bounded_queues_is_told_and_all_of_it_comes_free() -> Result<()> {
    live(async |live| {
        let shop = Merchant::open(&live.pipeline).await?;
        let customer = shop.customer(50_000).await?;
        let databases = [ServerName::Mysql(0), ServerName::Mysql(1)].map(|name| live.handle(name));
        for database in &databases {
            database.kill().await?;
        }
        let body = shop.order(&customer, 100);
        let keys: Vec<String> = (0..20).map(|number| format!("queue-{number}")).collect();
        let waiting = keys
            .iter()
            .map(|key| shop.client.post_and_wait(key, &body, 30));
        let waiting = futures_util::future::try_join_all(waiting);
        let looking = async {
            become_all(live, "above 0", |value| value > 0.0).await?;
            for database in &databases {
                database.start().await?;
            }
            anyhow::Ok(())
        };
        let (answers, ()) = tokio::try_join!(waiting, looking)?;
        for answer in answers {
            let id = answer.text("id");
            ensure!(shop.ended(id).await?["status"] == "paid", "{answer:?}");
        }
        become_all(live, "0", |value| value == 0.0).await?;
        live.pipeline.assert_invariants().await
    })
    .await
}
