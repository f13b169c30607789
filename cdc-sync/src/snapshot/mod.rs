//! Copies orders from their stores into the index, without a lock, while everybody works.
//!
//! There are two kinds. The [`first`] snapshot copies every order of a server before it can be followed:
//! at the first start, and when the saved position is of no use. One that is asked for ([`request`],
//! [`record`], [`asked`]) writes orders again beside the streams. Both read the rows in the order of their
//! `seq`, in [`chunks`], and write down how far they have come once that is acknowledged, so that whoever
//! goes on after a kill need not begin again.
//!
//! Nothing is locked, and chunks need not agree with each other. Before the first row is read it is known
//! from where on changes come through the stream, and what changes later comes from there: a row that is
//! met twice is written twice, and its version decides. So a snapshot also ends at the last `seq` that
//! there was when it began, and an auto-increment number that becomes visible late is not missed. A
//! document that has no row stays: a snapshot only writes.

pub mod asked;
pub mod checkpoint;
pub mod chunks;
pub mod created;
pub mod first;
pub mod progress;
pub mod record;
pub mod request;

pub use chunks::Chunks;

use std::time::Duration;

/// How often it is written down how far a snapshot is; what was written since is written again by a
/// follower that goes on after a kill.
const WRITTEN_DOWN_EVERY: Duration = Duration::from_secs(1);
