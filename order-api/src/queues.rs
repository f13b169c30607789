//! How full the API's bounded queues are, told once a second.

use crate::state::App;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

const TELL_EVERY: Duration = Duration::from_secs(1);

/// Tells it until stopped. The producer's queue is told by its own statistics.
pub(crate) async fn tell(app: App, stop: CancellationToken) {
    let http = &app.settings.http;
    let queues: [(&'static str, &Semaphore, usize); 4] = [
        ("connections", &app.connections, http.connections_max),
        ("requests", &app.requests, http.requests_max),
        (
            "waiting_requests",
            &app.waiting_requests,
            http.waiting_requests_max,
        ),
        ("exports", &app.exports, http.exports_max),
    ];
    let telling = async {
        loop {
            for (queue, places, places_max) in queues {
                let taken = places_max - places.available_permits();
                metrics::gauge!("order_api_places_taken", "of" => queue).set(taken as f64);
            }
            tokio::time::sleep(TELL_EVERY).await;
        }
    };
    stop.run_until_cancelled(telling).await;
}
