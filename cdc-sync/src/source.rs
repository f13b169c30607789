//! Which servers there are to follow: two shards on one server share one binlog, so they share one
//! stream, split by schema.

use crate::error::{FollowError, Transient};
use crate::flavour::Flavour;
use crate::settings::{FollowerSettings, StoresSettings, Tls};
use domain::{ShardName, StoreKind};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Opts, OptsBuilder, SslOpts};
use std::collections::BTreeMap;
use std::time::Duration;

/// A row may be as large as the server's own limit; the file position in a dump is 32 bits.
const PACKET_BYTES_MAX: usize = 1 << 30;

/// One order shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Such as `orders-0`.
    pub name: ShardName,
    /// The database on its server.
    pub schema: String,
}

/// One server and the shards it holds: one stream, one position.
#[derive(Clone)]
pub struct Server {
    /// Names the stream in logs and metrics: its shards, joined by `+`.
    pub label: String,
    /// Host and port.
    pub address: String,
    /// In shard order.
    pub shards: Vec<Shard>,
    /// What the server knows us by.
    pub server_id: u32,
    opts: Opts,
    tls: Tls,
    connect_timeout: Duration,
}

/// A shard URL that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("stores.order_shards: the URL of orders-{index} {problem}")]
pub struct ShardUrlError {
    index: usize,
    problem: String,
}

/// The servers behind the shard URLs, by lowest shard. Shards of one address are one server; so are
/// those of several addresses that answer with the same name of their own now.
pub async fn servers(
    stores: &StoresSettings,
    follower: &FollowerSettings,
) -> Result<Vec<Server>, ShardUrlError> {
    let mut by_address: BTreeMap<String, Server> = BTreeMap::new();
    for (index, url) in stores.order_shards.0.iter().enumerate() {
        let one = single_shard(index, url, stores, follower)?;
        match by_address.get_mut(&one.address) {
            Some(server) => server.shards.extend(one.shards),
            None => {
                by_address.insert(one.address.clone(), one);
            }
        }
    }
    let mut by_name: BTreeMap<String, Server> = BTreeMap::new();
    for (address, server) in by_address {
        let name = server.own_name().await.unwrap_or(address);
        match by_name.get_mut(&name) {
            Some(known) => known.shards.extend(server.shards),
            None => {
                by_name.insert(name, server);
            }
        }
    }
    let mut servers: Vec<Server> = by_name.into_values().map(|s| named(s, follower)).collect();
    servers.sort_by_key(|server| server.server_id);
    Ok(servers)
}

fn named(mut server: Server, follower: &FollowerSettings) -> Server {
    server.shards.sort_by_key(|shard| shard.name);
    let names: Vec<String> = server.shards.iter().map(|s| s.name.to_string()).collect();
    server.label = names.join("+");
    let lowest = server.shards.first().map_or(0, |shard| shard.name.index);
    server.server_id = follower.server_id_base + u32::from(lowest);
    server
}

fn single_shard(
    index: usize,
    url: &str,
    stores: &StoresSettings,
    follower: &FollowerSettings,
) -> Result<Server, ShardUrlError> {
    let problem = |problem: &str| ShardUrlError {
        index,
        problem: problem.to_owned(),
    };
    // Other clients' options after the question mark are not ours.
    let url = url.split_once('?').map_or(url, |(url, _)| url);
    let parsed = Opts::from_url(url).map_err(|error| problem(&error.to_string()))?;
    let schema = parsed
        .db_name()
        .ok_or_else(|| problem("names no database"))?
        .to_owned();
    let number = u16::try_from(index).map_err(|_| problem("is one too many"))?;
    let address = format!("{}:{}", parsed.ip_or_hostname(), parsed.tcp_port());
    let name = ShardName {
        store: StoreKind::Orders,
        index: number,
    };
    let opts = OptsBuilder::from_opts(parsed)
        .db_name(None::<String>)
        .prefer_socket(false)
        .tcp_keepalive(Some(Duration::from_secs(10)))
        .max_allowed_packet(Some(PACKET_BYTES_MAX))
        .ssl_opts(ssl_opts(stores));
    Ok(Server {
        label: String::new(),
        address,
        shards: vec![Shard { name, schema }],
        server_id: 0,
        opts: opts.into(),
        tls: stores.tls,
        connect_timeout: Duration::from_millis(follower.connect_timeout_ms),
    })
}

fn ssl_opts(stores: &StoresSettings) -> Option<SslOpts> {
    match stores.tls {
        Tls::Disabled => None,
        Tls::Preferred | Tls::Required => Some(
            SslOpts::default()
                .with_danger_accept_invalid_certs(true)
                .with_danger_skip_domain_validation(true),
        ),
        Tls::VerifyCa => Some(
            SslOpts::default()
                .with_root_certs(
                    stores
                        .ca_file
                        .iter()
                        .map(|path| path.clone().into())
                        .collect(),
                )
                .with_disable_built_in_roots(true)
                .with_danger_skip_domain_validation(true),
        ),
    }
}

impl Server {
    /// A new connection without a database.
    pub async fn connect(&self) -> Result<Conn, FollowError> {
        match self.connect_with(self.opts.clone()).await {
            Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer))
                if self.tls == Tls::Preferred =>
            {
                let plain = OptsBuilder::from_opts(self.opts.clone()).ssl_opts(None);
                Ok(self.connect_with(plain.into()).await?)
            }
            connected => connected.map_err(|error| self.unreachable(error)),
        }
    }

    async fn connect_with(&self, opts: Opts) -> Result<Conn, mysql_async::Error> {
        match tokio::time::timeout(self.connect_timeout, Conn::new(opts)).await {
            Ok(connected) => connected,
            Err(_) => {
                let text = format!("no answer within {} ms", self.connect_timeout.as_millis());
                let error = std::io::Error::new(std::io::ErrorKind::TimedOut, text);
                Err(mysql_async::Error::Io(error.into()))
            }
        }
    }

    fn unreachable(&self, error: mysql_async::Error) -> FollowError {
        match FollowError::from(error) {
            FollowError::Transient(cause) => Transient::Connect {
                address: self.address.clone(),
                cause: cause.to_string(),
            }
            .into(),
            definite @ FollowError::Definite(_) => definite,
        }
    }

    /// The server's name for itself, if it answers.
    async fn own_name(&self) -> Option<String> {
        let mut conn = self.connect().await.ok()?;
        let answer = own_name(&mut conn);
        tokio::time::timeout(self.connect_timeout, answer)
            .await
            .ok()?
            .ok()
    }
}

/// What tells a server from any other, whatever address leads to it: its uuid. MariaDB has none, but no
/// two servers have the same host, port, server id and folder.
pub async fn own_name(conn: &mut Conn) -> Result<String, mysql_async::Error> {
    // MariaDB alone runs what stands in /*M! */, MySQL alone what stands in /*!80000 */.
    let sql = "SELECT /*M! CONCAT_WS(':', @@hostname, @@port, @@server_id, @@datadir) */ \
               /*!80000 @@server_uuid */";
    let name = conn.query_first(sql).await?;
    Ok(name.unwrap_or_default())
}

/// Which database a server is.
pub async fn flavour(conn: &mut Conn) -> Result<Flavour, mysql_async::Error> {
    let version: Option<String> = conn.query_first("SELECT VERSION()").await?;
    Ok(Flavour::of_version(&version.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use service::settings::UrlList;

    fn settings(urls: &[&str]) -> (StoresSettings, FollowerSettings) {
        let mut settings: crate::settings::Settings =
            service::settings::load(crate::settings::DEFAULT_TOML, None).unwrap();
        settings.stores.order_shards = UrlList(urls.iter().map(|&u| u.to_owned()).collect());
        settings.follower.connect_timeout_ms = 200;
        (settings.stores, settings.follower)
    }

    #[tokio::test]
    async fn shards_of_one_address_share_a_stream_and_each_stream_has_its_own_id() {
        let (stores, follower) = settings(&[
            "mysql://u:p@127.0.0.1:1/orders_0",
            "mysql://u:p@127.0.0.1:2/orders_1?ssl-mode=DISABLED",
            "mysql://u:p@127.0.0.1:1/orders_2",
        ]);
        let servers = servers(&stores, &follower).await.unwrap();
        let labels: Vec<&str> = servers.iter().map(|s| s.label.as_str()).collect();
        assert_eq!(labels, ["orders-0+orders-2", "orders-1"]);
        assert_eq!(servers[0].shards[1].schema, "orders_2");
        assert_eq!(servers[1].server_id - servers[0].server_id, 1);
    }

    #[tokio::test]
    async fn a_url_without_a_database_is_named() {
        let (stores, follower) = settings(&["mysql://u:p@127.0.0.1:1"]);
        let error = servers(&stores, &follower).await.err().unwrap().to_string();
        assert!(
            error.contains("orders-0") && error.contains("no database"),
            "{error}"
        );
    }
}
