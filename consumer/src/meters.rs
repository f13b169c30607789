//! The worker's metrics, by name.

use metrics::{counter, gauge, histogram};
use std::time::Duration;

/// Records taken, by what they turned out to be.
pub fn record(kind: &'static str) {
    counter!("consumer_records_total", "kind" => kind).increment(1);
}

/// A batch ended.
pub fn batch(lane: &'static str, records: usize, took: Duration) {
    histogram!("consumer_batch_size", "lane" => lane).record(records as f64);
    histogram!("consumer_batch_seconds", "lane" => lane).record(took.as_secs_f64());
}

/// An order's answer, by kind.
pub fn answer(kind: &'static str) {
    counter!("consumer_answers_total", "kind" => kind).increment(1);
}

/// Records of a partition that are not committed yet.
pub fn lag(partition: i32, records: i64) {
    gauge!("consumer_lag_records", "partition" => partition.to_string()).set(records as f64);
}

/// A partition is no longer ours: its lag is another worker's to tell.
pub fn lag_is_anothers(partition: i32) {
    gauge!("consumer_lag_records", "partition" => partition.to_string()).set(0.0);
}

/// A change of the assignment.
pub fn rebalanced(kind: &'static str) {
    counter!("consumer_rebalances_total", "kind" => kind).increment(1);
}

/// A dead letter was acknowledged.
pub fn dead_letter(class: &'static str) {
    counter!("consumer_dead_letters_total", "class" => class).increment(1);
}

/// A dead letter was not acknowledged and is sent again.
pub fn dead_letter_failed() {
    counter!("consumer_dead_letter_failures_total").increment(1);
}

/// What is in hand now.
pub fn in_hand(partitions: usize, open: usize, parked_orders: usize, shut_shards: usize) {
    gauge!("consumer_assigned_partitions").set(partitions as f64);
    gauge!("consumer_open_records").set(open as f64);
    gauge!("consumer_parked_orders").set(parked_orders as f64);
    gauge!("consumer_shut_shards").set(shut_shards as f64);
}

/// Records held for a newer consumer. An alarm: nobody of this version ever takes them.
pub fn newer_schema(records: usize) {
    gauge!("consumer_newer_schema_records").set(records as f64);
}

/// Commits of offsets that did not reach the broker.
pub fn commit_failed() {
    counter!("consumer_commit_failures_total").increment(1);
}

/// Wake-up calls, by how they went.
pub fn wakes(result: &'static str, orders: usize) {
    counter!("consumer_wakes_total", "result" => result).increment(orders as u64);
}
