//! The worker's metrics, by name.

use metrics::{counter, gauge, histogram};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// KiB of records without an outcome: `read` from the commands, `parked` of these, `returned` from the
/// retry topic. The settings `worker.*_kib_max` bound each.
pub fn room_taken(of: &'static str, kib: usize) {
    gauge!("consumer_room_taken_kib", "of" => of).set(kib as f64);
}

/// Records held for a newer consumer. An alarm: nobody of this version ever takes them.
pub fn newer_schema(records: usize) {
    gauge!("consumer_newer_schema_records").set(records as f64);
}

/// Commits of offsets that did not reach the broker.
pub fn commits_lost(partitions: usize) {
    counter!("consumer_commit_failures_total").increment(partitions as u64);
}

/// Wake-up calls, by how they went.
pub fn wakes(result: &'static str, orders: usize) {
    counter!("consumer_wakes_total", "result" => result).increment(orders as u64);
}

/// Records acknowledged by the retry topic.
pub fn retry_put(records: usize) {
    counter!("consumer_retry_put_total").increment(records as u64);
}

/// Records for the retry topic were not acknowledged and are sent again.
pub fn retry_put_failed() {
    counter!("consumer_retry_put_failures_total").increment(1);
}

/// A record came back from the retry topic.
pub fn retry_returned() {
    counter!("consumer_retry_returned_total").increment(1);
}

/// Records without an outcome on one part of the retry topic.
pub fn retry_lag(partition: i32, shard: u16, records: i64) {
    let (partition, shard) = (partition.to_string(), shard.to_string());
    gauge!("consumer_retry_lag_records", "partition" => partition, "shard" => shard)
        .set(records as f64);
}

/// How long ago the oldest record in hand was accepted that came back from the retry topic.
pub fn retry_oldest(accepted_ms: Option<i64>) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.unwrap_or_default().as_secs_f64();
    let age = accepted_ms.map_or(0.0, |ms| (now - ms as f64 / 1000.0).max(0.0));
    gauge!("consumer_retry_oldest_seconds").set(age);
}
