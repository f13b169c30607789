//! Tests of `stack.env`: what is written reads back, by us and by a shell.

use std::process::Command;

use super::*;

fn example() -> StackEnv {
    StackEnv {
        root: "/somewhere".into(),
        database: Database::MariaDb,
        api_url: "http://127.0.0.1:12001".into(),
        kafka_brokers: "127.0.0.1:12002".into(),
        redis_url: "redis://127.0.0.1:12003".into(),
        search_url: "http://127.0.0.1:12004".into(),
        order_shards: vec![
            "mysql://holdfast:pa'ss@127.0.0.1:12005/orders_0".into(),
            "mysql://holdfast:pa'ss@127.0.0.1:12006/orders_1".into(),
        ],
        account_shards: vec!["mysql://holdfast:x@127.0.0.1:12005/accounts_0".into()],
        metrics_order_api: "http://127.0.0.1:12007/metrics".into(),
        metrics_consumer: "http://127.0.0.1:12008/metrics".into(),
        metrics_consumer_2: "http://127.0.0.1:12009/metrics".into(),
        metrics_consumer_3: "http://127.0.0.1:12010/metrics".into(),
        metrics_cdc_sync: "http://127.0.0.1:12011/metrics".into(),
        kafka_controller: "127.0.0.1:12012".into(),
        search_transport: "127.0.0.1:12013".into(),
        kafka_behind_proxy: "127.0.0.1:12014".into(),
        kafka_proxy: "127.0.0.1:12015".into(),
    }
}

#[test]
fn what_is_written_reads_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.env");
    example().write(&path).unwrap();
    let expected = StackEnv {
        root: folder.path().to_path_buf(),
        ..example()
    };
    assert_eq!(StackEnv::read(&path).unwrap(), expected);
}

#[test]
fn a_shell_that_sources_it_exports_the_same_values() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.env");
    example().write(&path).unwrap();
    let script = format!(". '{}' && env", path.display());
    let output = Command::new("sh").args(["-ec", &script]).output().unwrap();
    let variables = parse_variables("env", &String::from_utf8(output.stdout).unwrap()).unwrap();
    for (key, value) in example().variables() {
        assert_eq!(variables.get(key), Some(&value), "{key}");
    }
}

#[test]
fn ports_are_found_behind_credentials_and_paths() {
    let env = example();
    assert_eq!(env.port(ServerName::Mysql(1)), Some(12_006));
    assert_eq!(env.port(ServerName::Kafka), Some(12_002));
    assert_eq!(env.port(ServerName::Consumer(3)), Some(12_010));
    assert_eq!(env.address(ServerName::OrderApi), Some("127.0.0.1:12001"));
}

#[test]
fn a_missing_address_is_named() {
    let problem = StackEnv::from_variables("there", &BTreeMap::new()).unwrap_err();
    assert_eq!(problem.to_string(), "there: HOLDFAST_API_URL is missing");
}

#[test]
fn variables_may_be_bare_quoted_or_exported() {
    let text = "# comment\n\nA=1\nexport B='two words'\nC=\"3\"\n";
    let variables = parse_variables("here", text).unwrap();
    assert_eq!(variables.get("A").unwrap(), "1");
    assert_eq!(variables.get("B").unwrap(), "two words");
    assert_eq!(variables.get("C").unwrap(), "3");
    assert!(parse_variables("here", "nonsense").is_err());
}
