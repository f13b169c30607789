//! The databases a coordinator works on.

use sqlx::mysql::MySqlPool;
use std::fmt;

/// A database's place in [`Shards`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// One database: its name for people and its connections. Time-outs and the isolation level are
/// set on each session by whoever makes the pool.
#[derive(Debug, Clone)]
pub struct Shard {
    /// Its name in logs and metrics, such as `orders-0`.
    pub name: String,
    /// Its connections.
    pub pool: MySqlPool,
    /// Statements that change nothing and wait for nobody's rows, and yet need of each table what
    /// the sets need of it: whether they pass tells whether the shard serves.
    pub probe: &'static [&'static str],
}

/// All databases, of logs and participants alike, by [`ShardId`].
#[derive(Debug, Clone)]
pub struct Shards(Vec<Shard>);

impl Shards {
    /// The databases in the order of their ids, from 0.
    pub fn new(shards: Vec<Shard>) -> Self {
        Self(shards)
    }

    /// The database of this id.
    ///
    /// # Panics
    /// When the id was not made for these shards.
    pub fn get(&self, id: ShardId) -> &Shard {
        &self.0[usize::from(id.0)]
    }

    /// The other databases of the same server.
    pub(crate) fn beside(&self, id: ShardId) -> impl Iterator<Item = (ShardId, &Shard)> {
        let server = self.get(id).server();
        self.iter()
            .filter(move |(other, shard)| *other != id && shard.server() == server)
    }

    /// Every database with its id.
    pub fn iter(&self) -> impl Iterator<Item = (ShardId, &Shard)> {
        (0_u16..).map(ShardId).zip(&self.0)
    }
}

impl Shard {
    /// The address that its connections go to.
    fn server(&self) -> (String, u16) {
        let options = self.pool.connect_options();
        (options.get_host().to_owned(), options.get_port())
    }
}

impl fmt::Display for ShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
