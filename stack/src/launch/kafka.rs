//! Kafka as one process that is broker and controller, started straight from its jars.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::downloads;
use crate::env::StackEnv;
use crate::error::{Context, Result};
use crate::layout::Layout;
use crate::name::ServerName;
use crate::process::detached;

pub(super) fn prepare(layout: &Layout, env: &StackEnv) -> Result<Command> {
    let java = downloads::java_home()?.join("bin/java");
    let libs = downloads::kafka()?;
    let data = layout.data(ServerName::Kafka);
    let properties = layout.root().join("data/kafka.properties");
    fs::write(&properties, properties_of(env, &data)?).at(&properties)?;
    super::format_once(&data, |partial| {
        // The tool reads the folder from the properties, and writes paths nowhere.
        let staged = properties.with_file_name("kafka-format.properties");
        fs::write(&staged, properties_of(env, partial)?).at(&staged)?;
        format(&java, &libs, &staged)
    })?;
    let mut command = detached(&java);
    command
        .args(["-Xms512m", "-Xmx512m", "-XX:+UseSerialGC"])
        .args([
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.showThreadName=false",
        ])
        .arg("-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSS")
        .args(class_path(&libs))
        .arg("kafka.Kafka")
        .arg(&properties);
    Ok(command)
}

fn format(java: &Path, libs: &Path, properties: &Path) -> Result<()> {
    let tool = || {
        let mut command = Command::new(java);
        command
            .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
            .args(class_path(libs))
            .arg("kafka.tools.StorageTool");
        command
    };
    let id = super::run("Kafka's StorageTool random-uuid", tool().arg("random-uuid"))?;
    super::run(
        "Kafka's StorageTool format",
        tool().args(["format", "-t", &id, "-c"]).arg(properties),
    )?;
    Ok(())
}

fn class_path(libs: &Path) -> [String; 2] {
    ["-cp".to_owned(), format!("{}/*", libs.display())]
}

/// A single broker cannot replicate, so its internal topics ask for one copy; and it is told to
/// notice its own death early, which halves the time to come back after a kill.
fn properties_of(env: &StackEnv, data: &Path) -> Result<String> {
    let (host, port) = super::required_address(env, ServerName::Kafka)?;
    let controller = &env.kafka_controller;
    let proxied = Proxied::of(env);
    Ok(format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{controller}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{controller}{listens}
advertised.listeners=PLAINTEXT://{host}:{port}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{protocol}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=4
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
",
        listens = proxied.listens,
        advertised = proxied.advertised,
        protocol = proxied.protocol,
        data = data.display()
    ))
}

/// A further listener that tells its clients to come by another address. Kafka's clients connect to
/// what the broker advertises, so that a proxy before the one listener would be passed by.
#[derive(Default)]
struct Proxied {
    listens: String,
    advertised: String,
    protocol: &'static str,
}

impl Proxied {
    fn of(env: &StackEnv) -> Self {
        if env.kafka_behind_proxy.is_empty() || env.kafka_proxy.is_empty() {
            return Self::default();
        }
        Self {
            listens: format!(",PROXIED://{}", env.kafka_behind_proxy),
            advertised: format!(",PROXIED://{}", env.kafka_proxy),
            protocol: ",PROXIED:PLAINTEXT",
        }
    }
}
