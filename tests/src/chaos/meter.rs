//! How fast the workers end orders, by their own metrics: they die and count from zero again.

use stack::{ServerName, Stack};
use std::collections::HashMap;
use std::time::Duration;

const WORKERS: [ServerName; 2] = [ServerName::Consumer(1), ServerName::Consumer(2)];
const ANSWER_WITHIN: Duration = Duration::from_millis(700);
const PAID: &str = "saga_answers_total{answer=\"confirmed\"}";
const CANCELLED: &str = "saga_answers_total{answer=\"cancelled\"}";

/// Orders that ended since the last look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) paid: u64,
    pub(super) cancelled: u64,
}

#[derive(Default)]
pub(super) struct Meter {
    http: reqwest::Client,
    last: HashMap<(ServerName, &'static str), u64>,
}

impl Meter {
    /// What the workers ended since the last look. One that does not answer is counted later.
    pub(super) async fn look(&mut self, stack: &Stack) -> Ended {
        let mut ended = Ended::default();
        for worker in WORKERS {
            let Some(text) = self.scrape(stack.env().metrics_url(worker)).await else {
                continue;
            };
            ended.paid += self.grown(worker, PAID, &text);
            ended.cancelled += self.grown(worker, CANCELLED, &text);
        }
        ended
    }

    async fn scrape(&self, url: Option<&str>) -> Option<String> {
        let request = self.http.get(url?).timeout(ANSWER_WITHIN);
        request.send().await.ok()?.text().await.ok()
    }

    fn grown(&mut self, worker: ServerName, series: &'static str, text: &str) -> u64 {
        let now = value(text, series);
        let last = self.last.insert((worker, series), now).unwrap_or(0);
        now.checked_sub(last).unwrap_or(now)
    }
}

fn value(text: &str, series: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(series));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_counts_from_zero_again_is_counted_on() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut meter = Meter::default();
        let worker = ServerName::Consumer(1);
        let text = |count: u64| format!("# TYPE x counter\n{PAID} {count}\n");
        assert_eq!(meter.grown(worker, PAID, &text(5)), 5);
        assert_eq!(meter.grown(worker, PAID, &text(9)), 4);
        assert_eq!(meter.grown(worker, PAID, &text(2)), 2);
        assert_eq!(meter.grown(worker, PAID, ""), 0);
    }
}
