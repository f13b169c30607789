//! What can only be done to a server of one's own: purges, restarts, wrong settings.

use crate::orders::Shard;
use crate::snapshot::a_first_snapshot_whose_binlogs_are_purged_begins_anew;
use crate::world::{World, eventually};
use mysql_async::prelude::Queryable;
use stack::{Database, Server, Stack, StackOptions};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_our_own_is_stopped_killed_purged_and_set_up_wrongly() {
    let folder = tempfile::tempdir().unwrap();
    let options = StackOptions {
        database: Some(Database::Mysql),
        bin_dir: None,
    };
    let stack = Stack::create(folder.path(), options).await.unwrap();
    let mysql = stack.server("mysql-0").unwrap();
    mysql.start().await.unwrap();
    let url = stack.env().order_shards[0].clone();
    let same = vec![url.clone()];
    World::run_on(vec![url], async |world| {
        a_killed_dump_connection_is_opened_again(world).await;
        an_orderly_stop_and_a_kill_of_the_server_are_survived(world, &mysql).await;
        tables_that_a_restart_numbers_anew_are_told_apart(world, &mysql).await;
        a_purged_position_means_a_snapshot(world).await;
        each_wrong_setting_is_named(world).await;
    })
    .await;
    World::run_on(same, a_first_snapshot_whose_binlogs_are_purged_begins_anew).await;
    stack.down().await.unwrap();
}

async fn a_killed_dump_connection_is_opened_again(world: &World) {
    let follower = world.follow().await;
    follower.ready().await;
    let mut killed = 0;
    for _ in 0..3 {
        let dumps = eventually("the dump connection is there", async || {
            let dumps = world.shards[0].dump_connections().await;
            let is_new = dumps.first().is_some_and(|id| *id != killed);
            is_new
                .then_some(dumps)
                .ok_or("no such connection".to_owned())
        })
        .await;
        let ids = world.shards[0].accept(100).await;
        killed = dumps[0];
        world.shards[0].execute(&format!("KILL {killed}")).await;
        world.shards[0].pay(&ids).await;
        world.agree().await;
    }
    follower.stop().await;
}

async fn an_orderly_stop_and_a_kill_of_the_server_are_survived(world: &World, mysql: &Server) {
    let follower = world.follow().await;
    follower.ready().await;
    let ids = world.shards[0].accept(50).await;
    mysql.stop().await.unwrap();
    follower.complains("orders-0").await;
    mysql.start().await.unwrap();
    world.shards[0].pay(&ids).await;
    world.agree().await;
    world.shards[0].accept(50).await;
    mysql.kill().await.unwrap();
    mysql.start().await.unwrap();
    world.shards[0].accept(50).await;
    world.agree().await;
    follower.ready().await;
    follower.stop().await;
}

/// A server that starts again numbers its tables anew, so that in one stream a number may stand first
/// for `orders` and then for another table.
async fn tables_that_a_restart_numbers_anew_are_told_apart(world: &World, mysql: &Server) {
    let shard = &world.shards[0];
    // Nobody follows, so that whoever does later reads both files in one stream.
    mysql.stop().await.unwrap();
    mysql.start().await.unwrap();
    write_to_other_tables(shard, "before", 10).await;
    let ids = shard.accept(5).await;
    let of_orders = table_numbers(shard, "orders").await;
    mysql.stop().await.unwrap();
    mysql.start().await.unwrap();
    write_to_other_tables(shard, "after", 40).await;
    let of_others = table_numbers(shard, "after").await;
    assert!(
        of_others.contains(&of_orders[0]),
        "no number is used again: {of_orders:?}, then {of_others:?}"
    );
    shard.pay(&ids).await;
    let follower = world.follow().await;
    world.agree().await;
    follower.ready().await;
    follower.stop().await;
}

async fn write_to_other_tables(shard: &Shard, name: &str, count: usize) {
    for number in 0..count {
        let table = format!("{name}_{number}");
        shard
            .execute(&format!("CREATE TABLE {table} (n INT)"))
            .await;
        shard
            .execute(&format!("INSERT INTO {table} VALUES (1)"))
            .await;
    }
}

/// The numbers that the newest binlog file gives to tables of this name.
async fn table_numbers(shard: &Shard, name: &str) -> Vec<u64> {
    let mut conn = shard.conn().await;
    let logs: Vec<mysql_async::Row> = conn.query("SHOW BINARY LOGS").await.unwrap();
    let newest: String = logs.last().unwrap().get(0).unwrap();
    let events: Vec<mysql_async::Row> = conn
        .query(format!("SHOW BINLOG EVENTS IN '{newest}'"))
        .await
        .unwrap();
    let told: Vec<String> = events.iter().map(|event| event.get(5).unwrap()).collect();
    // Such as `table_id: 87 (orders_0.orders)`.
    let of_table = |told: &String| {
        let (number, table) = told.strip_prefix("table_id: ")?.split_once(" (")?;
        let (_, table) = table.split_once('.')?;
        table.starts_with(name).then(|| number.parse().ok())?
    };
    told.iter().filter_map(of_table).collect()
}

async fn a_purged_position_means_a_snapshot(world: &World) {
    let shard: &Shard = &world.shards[0];
    let ids = shard.accept(20).await;
    shard.purge_binlogs().await;
    shard.pay(&ids[..5]).await;
    let follower = world.follow().await;
    world.agree().await;
    follower.ready().await;
    follower.stop().await;
}

async fn each_wrong_setting_is_named(world: &World) {
    for (name, wrong, right) in [
        ("binlog_row_metadata", "MINIMAL", "FULL"),
        ("binlog_row_image", "MINIMAL", "FULL"),
        ("binlog_row_value_options", "PARTIAL_JSON", "''"),
        ("binlog_checksum", "NONE", "CRC32"),
        ("gtid_mode", "ON_PERMISSIVE", "ON"),
        ("binlog_format", "MIXED", "ROW"),
    ] {
        let shard = &world.shards[0];
        shard.execute(&format!("SET GLOBAL {name} = {wrong}")).await;
        let failure = world.follow().await.failure().await;
        shard.execute(&format!("SET GLOBAL {name} = {right}")).await;
        assert!(failure.contains(name), "{name}: {failure}");
    }
    let follower = world.follow().await;
    follower.ready().await;
    world.shards[0].accept(2).await;
    world.agree().await;
    follower.stop().await;
}
