//! What the worker takes in: records, changes of the assignment, and what else the Kafka clients tell.

use crate::batches::Work;
use crate::decode::{Decoded, decode};
use crate::events::Event;
use crate::meters;
use crate::origin::Origin;
use crate::record::{Place, Record};
use crate::retry_stream::Returned;
use crate::worker::Worker;
use store::PaymentOrder;
use tokio::sync::OwnedSemaphorePermit;

impl Worker {
    /// Drains what is there, at most a batch for each lane, and waits for nothing more.
    pub(crate) fn take_what_is_there(&mut self, first: Event) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(event) = next {
            self.on_event(event);
            taken += 1;
            let more = taken < self.settings.batch_records_max * self.settings.lanes;
            next = if more {
                self.stream.next_if_there()
            } else {
                None
            };
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::Record(record, room) => self.on_record(record, room),
            Event::Assigned {
                partitions,
                generation,
            } => {
                self.forget_revocations(&partitions);
                for number in partitions {
                    self.partitions.assign(number, generation);
                    self.retry.assign(number, generation);
                }
            }
            Event::Revoked { partitions, answer } => self.on_revoked(partitions, answer),
            Event::Committed(commits) => {
                let lost = self.partitions.acknowledged(&commits);
                self.commit_again(lost.len());
            }
            Event::Group(state) => self.readiness.set("kafka", state),
            Event::Passing(cause) => {
                tracing::info!(cause, "The Kafka client goes on after an error.")
            }
            Event::Fatal(cause) => {
                self.fatal = Some(cause);
                self.stop();
            }
        }
    }

    fn on_record(&mut self, record: Record, room: OwnedSemaphorePermit) {
        let place = record.place;
        let accepted_ms = Origin::of(&record).timestamp_ms.unwrap_or_default();
        if self.stopping || !self.partitions.receive(place, accepted_ms) {
            return;
        }
        match decode(&record, self.settings.value_bytes_max) {
            Decoded::Command(command) => {
                meters::record("command");
                let order = PaymentOrder::new(command.payment, 0);
                let shard = self.routing.shard_id(self.routing.order_shard(order.id));
                let wake = command.wake;
                let work = Work {
                    record,
                    order,
                    shard,
                    wake,
                    room,
                };
                self.partitions.wait(place, work);
            }
            Decoded::Poison(cause) => {
                meters::record("poison");
                self.burials.start(record, cause, room);
            }
            Decoded::NewerSchema(version) => {
                meters::record("newer_schema");
                self.hold_for_newer(place, version, room);
            }
        }
    }

    /// Its offset is not passed: whoever can read it finds it there.
    fn hold_for_newer(&mut self, place: Place, version: u32, room: OwnedSemaphorePermit) {
        let (partition, offset) = (place.partition, place.offset);
        tracing::error!(
            partition,
            offset,
            version,
            "A record of a newer schema holds its partition's offset until a newer consumer takes it."
        );
        let room = self.parking_for(room);
        self.newer.push((place, room));
    }

    /// The same for what comes back from the retry topic.
    pub(crate) fn take_what_came_back(&mut self, first: Returned) {
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(returned) = next {
            self.on_returned(returned);
            taken += 1;
            let more = taken < self.settings.batch_records_max;
            next = if more {
                self.retry.next_if_there()
            } else {
                None
            };
        }
    }

    fn on_returned(&mut self, returned: Returned) {
        match returned {
            Returned::Known {
                partition,
                generation,
                parts,
            } => {
                self.partitions.know(partition, generation, &parts);
                let used = parts.iter().filter(|(_, next, end)| next < end);
                used.for_each(|(shard, _, _)| self.detour_begins(*shard));
                self.commit_parts();
            }
            Returned::Record(record, room) => {
                meters::retry_returned();
                self.on_record(record, room);
            }
            Returned::Committed(commits) => {
                let lost = self.partitions.parts_acknowledged(&commits);
                self.commit_again(lost);
                self.keep_part_commits();
            }
            Returned::Passing(cause) => {
                tracing::info!(
                    cause,
                    "The Kafka client of the retry topic goes on after an error."
                );
            }
            Returned::Fatal(cause) => {
                self.fatal = Some(cause);
                self.stop();
            }
        }
    }
}
