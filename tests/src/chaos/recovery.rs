//! How long after a fault's end orders end again.

use crate::attempt::{Asked, Told};
use crate::load::Payers;
use crate::recorder::Recorder;
use futures_util::future::join_all;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// With eight of them a shard of two is missed once in 128 times.
const ORDERS: usize = 8;
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(100);
const GIVEN_UP_AFTER: Duration = Duration::from_secs(180);

/// Submits a handful of orders and waits until all have ended; how long that took. They are part of
/// the recorder's history, as all others.
pub(super) async fn measure(recorder: &Recorder, payers: &Payers, key: &str) -> Duration {
    let begun = Instant::now();
    let mut rng = StdRng::seed_from_u64(key.len() as u64);
    let orders = (0..ORDERS).map(|place| {
        let asked = Asked {
            payer: payers.rich(&mut rng).to_owned(),
            payee: recorder.merchant.account.clone(),
            amount: 100,
        };
        async move { until_ended(recorder, &format!("{key}-{place}"), &asked).await }
    });
    let _ = timeout(GIVEN_UP_AFTER, join_all(orders)).await;
    begun.elapsed()
}

async fn until_ended(recorder: &Recorder, key: &str, asked: &Asked) {
    let id = loop {
        match recorder.submit_within(ANSWER_WITHIN, key, asked).await {
            Told::Accepted { id, .. } => break id,
            // The check of the history says what is wrong with these.
            Told::OtherBodyStands | Told::Strange(_) => return,
            Told::NotEnqueued | Told::OutcomeUnknown | Told::NoAnswer => sleep(PAUSE).await,
        }
    };
    let path = format!("/v1/orders/{id}");
    loop {
        let asking = timeout(ANSWER_WITHIN, recorder.merchant.client.get(&path));
        if let Ok(Ok(answer)) = asking.await
            && matches!(answer.text("status"), "paid" | "cancelled")
        {
            return;
        }
        sleep(PAUSE).await;
    }
}
