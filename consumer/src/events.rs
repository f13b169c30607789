//! Everything the Kafka client can tell the worker, in the order it happened.

use crate::partitions::PartitionOffset;
use crate::record::Record;
use std::sync::mpsc::SyncSender;
use tokio::sync::OwnedSemaphorePermit;

/// Something happened at the Kafka client. The list is closed: the worker answers each.
#[derive(Debug)]
pub enum Event {
    /// A record was read. The permit is the room it takes until its outcome is durable.
    Record(Record, OwnedSemaphorePermit),
    /// These partitions are ours from now on, each under this generation.
    Assigned {
        /// Their numbers.
        partitions: Vec<i32>,
        /// Of this assignment.
        generation: u64,
    },
    /// These partitions go away. The client waits for the answer, then commits it.
    Revoked {
        /// Their numbers.
        partitions: Vec<i32>,
        /// Takes the offset from which each partition's next owner has to read.
        answer: SyncSender<Vec<PartitionOffset>>,
    },
    /// The last commit of each of these partitions that the broker acknowledged, heard now and then.
    Committed(Vec<PartitionOffset>),
    /// How it stands with the group: good, or what it waits for.
    Group(Result<(), String>),
    /// An error that the client gets over by itself.
    Passing(String),
    /// An error that the client does not get over: the worker ends.
    Fatal(String),
}
