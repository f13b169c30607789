//! A fault proxy before each server, and services that find the servers by them.

use crate::proxy::{Fault, FaultProxy};
use anyhow::{Context, Result};
use stack::{ServerName, Stack, StackEnv};
use std::collections::BTreeMap;

/// The proxies before the servers of a stack; gone when dropped.
pub struct Network {
    proxies: BTreeMap<ServerName, FaultProxy>,
}

impl Network {
    /// Stands before every server. From their next start on the services come by here; everybody
    /// else (the operator's command, the tests themselves) still finds the servers directly.
    pub async fn before(stack: &Stack) -> Result<Self> {
        let env = stack.env();
        let mut proxies = BTreeMap::new();
        for name in ServerName::SERVERS {
            let server = env.address(name).context("no address")?;
            let proxy = if name == ServerName::Kafka {
                // Kafka's clients go where the broker tells them, and it tells this address.
                FaultProxy::at(&env.kafka_proxy, &env.kafka_behind_proxy).await?
            } else {
                FaultProxy::before(server).await?
            };
            proxies.insert(name, proxy);
        }
        let network = Self { proxies };
        stack.let_services_see(&network.disguised(env)?)?;
        Ok(network)
    }

    /// From now on the way to this server does this.
    pub fn set(&self, server: ServerName, fault: Fault) {
        if let Some(proxy) = self.proxies.get(&server) {
            proxy.set(fault);
        }
    }

    /// The same stack, as it looks from behind the proxies.
    fn disguised(&self, env: &StackEnv) -> Result<StackEnv> {
        let mut seen = env.clone();
        for (name, proxy) in &self.proxies {
            let server = env.address(*name).context("no address")?;
            let by_proxy = proxy.addr().to_string();
            let replace = |url: &mut String| *url = url.replace(server, &by_proxy);
            seen.order_shards.iter_mut().for_each(replace);
            seen.account_shards.iter_mut().for_each(replace);
            [
                &mut seen.kafka_brokers,
                &mut seen.redis_url,
                &mut seen.search_url,
            ]
            .into_iter()
            .for_each(replace);
        }
        Ok(seen)
    }
}
