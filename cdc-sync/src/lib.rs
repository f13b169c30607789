//! Keeps the search index equal to the order stores, and tells of every change on `order.events`, by
//! following their binlogs.
//!
//! Of several processes one acts, by a [`lease`]. Every server that holds order shards has one stream
//! and one position. [`follower`] runs the streams; [`session`] is one attempt at one of them:
//! [`preflight`] checks, a [`snapshot`] if there is no usable [`position`], then [`replication`] reads,
//! [`sinks`] take what it read to the index ([`search_writer`]) and to the topic of events
//! ([`event_publisher`]), and [`freshness`] writes down how far they came. Documents are whole and carry
//! the row's version as their external version, so writing one twice, or an old one late, changes
//! nothing. They go where [`targets`] says: to the index in use and, while it is made anew
//! ([`rebuild`]), to the one beside it.
//!
//! MySQL and MariaDB are followed alike. What differs is asked of the server's [`flavour`]: how transactions
//! are counted ([`stream_position`]), which settings must hold, and how a transaction begins in the binlog.
//!
//! Invariants: a document never goes back to an older version; the position never passes a transaction
//! that is not acknowledged; `as_of` never passes a commit that a search does not find.

pub mod batch;
pub mod bulk;
pub mod bulk_size;
pub mod changes;
pub mod dead_letters;
pub mod document;
pub mod dump;
pub mod error;
pub mod event_producer;
pub mod event_publisher;
pub mod examine;
pub mod flavour;
pub mod follower;
pub mod freshness;
pub mod gtid_set;
pub mod hazard;
pub mod health;
pub mod index;
pub mod lag;
pub mod lease;
pub mod maria_event;
pub mod maria_gtid;
pub mod open_transaction;
pub mod order_event;
pub mod position;
pub mod preflight;
pub mod process_identity;
pub mod rebuild;
pub mod refresher;
pub mod rendered_document;
pub mod repair;
pub mod replication;
pub mod row_format;
pub mod rows;
pub mod search_client;
pub mod search_writer;
pub mod session;
pub mod settings;
pub mod shared_document;
pub mod sinks;
pub mod snapshot;
pub mod source;
pub mod statement;
pub mod status;
pub mod stream_position;
pub mod table;
pub mod targets;
pub mod transaction;
pub mod trouble;
