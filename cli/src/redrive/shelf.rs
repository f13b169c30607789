//! The dead letters' topic, read from end to end: once for the notes of what was put back, once for
//! the letters, in sets. It holds what people must look at, so it is small; memory is flat anyway.

use super::Letters;
use super::journal::{Range, Redriven, read_note};
use crate::dead_letter;
use crate::kafka_log::{KafkaLog, LogError, Span};
use domain::OrderId;
use rdkafka::Message;
use rdkafka::message::OwnedMessage;
use service::kafka::KafkaSettings;
use std::collections::HashMap;
use tokio::sync::mpsc;

/// A set is full at so many letters, or so many bytes.
const SET_LETTERS_MAX: usize = 500;
const SET_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Looking only: the group has committed nothing and never will.
const GROUP: &str = "holdfast-redrive";

/// What the first reading found.
#[derive(Debug)]
pub struct Survey {
    /// Up to where the topic was read; what comes later is not looked at.
    spans: Vec<Span>,
    redriven: Redriven,
    /// The newest letter of each order that was asked for.
    newest: HashMap<OrderId, (i32, i64)>,
}

impl Survey {
    /// Reads the notes. Blocks.
    pub fn read(kafka: &KafkaSettings, wanted: &Letters) -> Result<Self, LogError> {
        let log = KafkaLog::open(kafka, &kafka.dead_letter_topic, GROUP)?;
        let spans: Vec<Span> = log.partitions()?.iter().map(Span::whole).collect();
        let named = match wanted {
            Letters::Named(ids) => ids.as_slice(),
            Letters::At { .. } | Letters::OfClass(_) | Letters::All => &[],
        };
        let mut noted: Vec<Range> = Vec::new();
        let mut newest = HashMap::new();
        log.scan_whole(&spans, |message| {
            noted.extend(read_note(message));
            if let Some(id) = order_of(message).filter(|id| named.contains(id)) {
                newest.insert(id, (message.partition(), message.offset()));
            }
            true
        })?;
        Ok(Self {
            spans,
            redriven: Redriven::of(noted),
            newest,
        })
    }

    /// Whether a letter was put back before.
    pub fn was_redriven(&self, letter: &impl Message) -> bool {
        self.redriven.contains(letter.partition(), letter.offset())
    }

    /// The orders that were asked for and have no letter.
    pub fn without_letter<'a>(&self, wanted: &'a Letters) -> Vec<&'a OrderId> {
        match wanted {
            Letters::Named(ids) => {
                let missing = ids.iter().filter(|id| !self.newest.contains_key(id));
                missing.collect()
            }
            Letters::At { .. } | Letters::OfClass(_) | Letters::All => Vec::new(),
        }
    }

    /// Whoever names one letter gets it again; whoever names many, only what was not put back yet.
    fn wants(&self, wanted: &Letters, letter: &impl Message) -> bool {
        let place = (letter.partition(), letter.offset());
        if !dead_letter::is_letter(letter) {
            return false;
        }
        match wanted {
            Letters::Named(_) => self.newest.values().any(|newest| *newest == place),
            Letters::At { partition, offset } => place == (*partition, *offset),
            Letters::OfClass(class) => {
                dead_letter::class(letter) == *class && !self.was_redriven(letter)
            }
            Letters::All => !self.was_redriven(letter),
        }
    }

    /// Reads what is wanted, and sends it on in sets until nobody receives any more. Blocks.
    pub fn read_letters(
        &self,
        kafka: &KafkaSettings,
        wanted: &Letters,
        sets: &mpsc::Sender<Vec<OwnedMessage>>,
    ) -> Result<(), LogError> {
        let log = KafkaLog::open(kafka, &kafka.dead_letter_topic, GROUP)?;
        let (mut set, mut bytes) = (Vec::new(), 0);
        log.scan_whole(&self.spans, |message| {
            if !self.wants(wanted, message) {
                return true;
            }
            bytes += message.payload_len();
            set.push(message.detach());
            if set.len() < SET_LETTERS_MAX && bytes < SET_BYTES_MAX {
                return true;
            }
            bytes = 0;
            sets.blocking_send(std::mem::take(&mut set)).is_ok()
        })?;
        if !set.is_empty() {
            let _ = sets.blocking_send(set);
        }
        Ok(())
    }
}

/// The value at a letter's original place, if it is still there; empty when it never had one.
pub fn original_value(
    kafka: &KafkaSettings,
    letter: &OwnedMessage,
    (topic, partition, offset): &(String, i32, i64),
) -> Result<Option<Vec<u8>>, LogError> {
    let log = KafkaLog::open(kafka, topic, GROUP)?;
    let span = Span {
        partition: *partition,
        from: *offset,
        to: offset + 1,
    };
    let states = log.partitions()?;
    let is_kept = states
        .iter()
        .any(|state| state.partition == *partition && (state.low..state.high).contains(offset));
    let mut value = None;
    if is_kept {
        log.scan_whole(&[span], |message| {
            let is_it = message.offset() == *offset && message.key() == letter.key();
            value = message.payload().filter(|_| is_it).map(<[u8]>::to_vec);
            false
        })?;
    }
    Ok(value)
}

fn order_of(message: &impl Message) -> Option<OrderId> {
    std::str::from_utf8(message.key()?).ok()?.parse().ok()
}
