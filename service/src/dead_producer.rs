//! Letting go of a producer that librdkafka has given up on for good.

use rdkafka::producer::{Producer, ProducerContext, PurgeConfig};
use rdkafka::util::Timeout;
use std::ops::Deref;

/// Gives back every record that a dead producer still has, however long it takes to let go of them: on a
/// thread of its own, since all of this blocks, the last handle's end included.
pub fn retire<P, C>(dead: impl Deref<Target = P> + Send + 'static)
where
    P: Producer<C>,
    C: ProducerContext,
{
    std::thread::spawn(move || {
        dead.purge(PurgeConfig::default().queue().inflight());
        // Fails only where there is an end to the time; a dead producer gets nothing new.
        let _ = dead.flush(Timeout::Never);
    });
}
