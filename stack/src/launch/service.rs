//! Our own services, configured by environment variables alone.

use std::path::PathBuf;
use std::process::Command;

use crate::clock;
use crate::env::{StackEnv, host_and_port, parse_variables};
use crate::error::{Context, Result, StackError};
use crate::layout::Layout;
use crate::name::ServerName;
use crate::process::detached;

/// Variables of this form configure our services; those of the calling shell are not passed on.
const PREFIX: &str = "HOLDFAST__";

pub(super) fn prepare(name: ServerName, layout: &Layout, env: &StackEnv) -> Result<Command> {
    let program = program(name, layout)?;
    let mut command = detached(&program);
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with(PREFIX) {
            command.env_remove(key);
        }
    }
    let seen = layout.services_see();
    if seen.exists() {
        command.envs(configuration(name, layout, &StackEnv::read(&seen)?));
    } else {
        command.envs(configuration(name, layout, env));
    }
    command.envs(clock::variables(&layout.clock(name))?);
    let further = layout.service_env();
    if further.exists() {
        let text = std::fs::read_to_string(&further).at(&further)?;
        command.envs(parse_variables(&further.display().to_string(), &text)?);
    }
    Ok(command)
}

fn program(name: ServerName, layout: &Layout) -> Result<PathBuf> {
    let path = layout.bin().join(name.binary().unwrap_or_default());
    if path.is_file() {
        Ok(path)
    } else {
        Err(StackError::NotBuilt(path))
    }
}

fn configuration(name: ServerName, layout: &Layout, env: &StackEnv) -> Vec<(&'static str, String)> {
    let secrets = layout.secrets();
    let metrics_url = env.metrics_url(name).unwrap_or_default();
    let mut variables = vec![
        ("HOLDFAST__STORES__ORDER_SHARDS", env.order_shards.join(",")),
        (
            "HOLDFAST__STORES__ACCOUNT_SHARDS",
            env.account_shards.join(","),
        ),
        (
            "HOLDFAST__ADMIN__LISTEN",
            host_and_port(metrics_url).to_owned(),
        ),
    ];
    let kafka = ("HOLDFAST__KAFKA__BROKERS", env.kafka_brokers.clone());
    let redis = ("HOLDFAST__REDIS__URL", env.redis_url.clone());
    let search = ("HOLDFAST__SEARCH__URL", env.search_url.clone());
    let path = |relative: &str| secrets.join(relative).display().to_string();
    match name {
        ServerName::OrderApi => variables.extend([
            kafka,
            redis,
            search,
            (
                "HOLDFAST__HTTP__LISTEN",
                host_and_port(&env.api_url).to_owned(),
            ),
            ("HOLDFAST__AUTH__KEYS_DIR", path("jwt")),
            ("HOLDFAST__IDS__MAC_KEY_FILE", path("order-id.key")),
            ("HOLDFAST__CURSORS__KEY_FILE", path("cursor.key")),
        ]),
        ServerName::CdcSync => {
            // Replicas of one server must differ; the two servers get base and base + 1.
            let port = env.port(name).unwrap_or_default();
            let server_id_base = (100_000 + u32::from(port) * 2).to_string();
            variables.extend([
                kafka,
                search,
                ("HOLDFAST__FOLLOWER__SERVER_ID_BASE", server_id_base),
            ]);
        }
        ServerName::Consumer(_) => variables.extend([kafka, redis]),
        ServerName::Mysql(_)
        | ServerName::Kafka
        | ServerName::Redis
        | ServerName::Elasticsearch => {}
    }
    variables
}
