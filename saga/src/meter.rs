//! What the engine counts and times.

use crate::{Answer, SqlFault};
use metrics::{counter, gauge, histogram};
use std::time::Duration;

/// The time of one round of a batch, all shards together.
pub(crate) fn round(name: &'static str, took: Duration) {
    histogram!("saga_round_seconds", "round" => name).record(took);
}

/// A batch taken on.
pub(crate) fn batch(source: &'static str, transactions: usize) {
    histogram!("saga_batch_transactions", "source" => source).record(transactions as f64);
}

/// What became of a record.
pub(crate) fn answered(answer: &Answer) {
    counter!("saga_answers_total", "answer" => answer.name()).increment(1);
}

/// A set that is run again in place.
pub(crate) fn retried(shard: &str, operation: &'static str, fault: &SqlFault) {
    let cause = match fault {
        SqlFault::Duplicate(_) | SqlFault::Partial { .. } => "known",
        SqlFault::Transient(_) | SqlFault::Definite(_) => "transient",
    };
    counter!("saga_set_retries_total", "shard" => shard.to_owned(), "operation" => operation,
        "cause" => cause)
    .increment(1);
}

/// Whether a shard answers.
pub(crate) fn shard_answers(shard: &str, answers: bool) {
    gauge!("saga_shard_answers", "shard" => shard.to_owned()).set(f64::from(u8::from(answers)));
}

/// Something that may never be, or has lasted too long: a person has to look.
pub(crate) fn alarm(kind: &'static str) {
    counter!("saga_alarms_total", "kind" => kind).increment(1);
}

/// How many global transactions of a log shard are stuck now. Every sweeper of the shard tells the
/// same number.
pub(crate) fn stuck(shard: &str, transactions: u64) {
    gauge!("saga_stuck", "shard" => shard.to_owned()).set(transactions as f64);
}

/// A page that a sweeper took.
pub(crate) fn swept(shard: &str, transactions: usize) {
    counter!("saga_sweeper_pages_total", "shard" => shard.to_owned()).increment(1);
    counter!("saga_sweeper_transactions_total", "shard" => shard.to_owned())
        .increment(transactions as u64);
}
