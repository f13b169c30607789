//! Scenarios 23 and 24: a database that is away during round 4, and many who finish at once.

use crate::commands::with_commands;
use crate::databases::Servers;
use crate::in_hand::Orders;
use crate::scenario::{BOUND, Scenario, engine_reason, scenario, scenario_on};
use crate::worker::Worker;
use domain::{OrderState, Reason};
use saga::Verdict;
use stack::{ServerName, Stack, StackOptions};
use std::time::{Duration, Instant};
use store::PaymentOrder;

/// How long the database is away.
const AWAY: Duration = Duration::from_secs(3);

/// A database server that no other test uses, so that it may be killed.
struct OwnServer {
    stack: Stack,
    _folder: tempfile::TempDir,
}

impl OwnServer {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let stack = Stack::create(folder.path(), StackOptions::default())
            .await
            .unwrap();
        stack.handle(ServerName::Mysql(1)).start().await.unwrap();
        Self {
            stack,
            _folder: folder,
        }
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        let stack = self.stack.clone();
        let killing = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime
                .unwrap()
                .block_on(stack.handle(ServerName::Mysql(1)).kill())
        });
        let _ = killing.join();
    }
}

async fn has_state(s: &Scenario, orders: &Orders<'_>, wanted: OrderState) -> usize {
    let mut count = 0;
    for order in &orders.orders {
        count += usize::from(s.state(order).await == Some(wanted));
    }
    count
}

/// 23.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_away_during_round_4_is_waited_for_and_all_finish_without_a_restart() {
    let own_server = OwnServer::start().await;
    let mut servers = Servers::of_environment();
    servers.accounts[1].clone_from(&own_server.stack.env().account_shards[1]);
    scenario_on(servers, async |s| {
        with_commands(async |commands| {
            let mut orders = Orders::new(&s).await;
            let (good, bad) = (10 + s.below(20), 10 + s.below(20));
            orders.good(good);
            orders.bad(bad);
            commands.send(&orders.commands).await;
            let pause = [("HOLDFAST_FAULTS", "after-decide=1*sleep(3000)")];
            let mut worker = Worker::start(&s.own, &commands, &pause);
            // Decided: the worker is between rounds 3 and 4.
            let begun = Instant::now();
            while has_state(&s, &orders, OrderState::Confirming).await == 0 {
                assert!(
                    begun.elapsed() < BOUND,
                    "INV-8 is breached: none is decided"
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let server = own_server.stack.handle(ServerName::Mysql(1));
            server.kill().await.unwrap();
            tokio::time::sleep(AWAY + s.millis_below(2_000.0)).await;
            assert_eq!(has_state(&s, &orders, OrderState::Paid).await, 0);
            server.start().await.unwrap();
            s.assert_progress(BOUND).await;
            commands.await_committed(good + bad).await;
            assert!(worker.lives(), "without a restart");
            worker.stop().await;
            orders.assert_ended_as_meant(&s).await;
            s.assert_right().await;
        })
        .await;
    })
    .await;
}

/// How far a worker got that is gone.
async fn leave_half_done(s: &Scenario, order: &PaymentOrder, confirm: bool) {
    let far = s.below(5);
    s.begin(std::slice::from_ref(order)).await;
    let branches = s.branches(order);
    if far > 0 {
        s.try_debits(std::slice::from_ref(order)).await;
    }
    if far < 2 {
        return;
    }
    let verdict = match confirm {
        true => Verdict::Confirm,
        false => Verdict::Cancel(engine_reason(Reason::AccountClosed)),
    };
    s.decide_all(std::slice::from_ref(order), verdict).await;
    for branch in branches.iter().take(far - 2) {
        match confirm {
            true => s.own.confirm_all(std::slice::from_ref(branch)).await,
            false => s.own.cancel_all(std::slice::from_ref(branch)).await,
        };
    }
}

/// 24.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sweepers_and_a_redelivery_at_once_do_what_one_would() {
    scenario(async |s| {
        for _ in 0..6 {
            let mut orders = Orders::new(&s).await;
            orders.good(20 + s.below(10));
            let good = orders.orders.len();
            orders.bad(10 + s.below(10));
            for (place, order) in orders.orders.iter().enumerate() {
                // What lacks funds was left to the redelivery alone.
                if orders.meant[place] != Some(Reason::InsufficientFunds) {
                    leave_half_done(&s, order, place < good).await;
                }
            }
            let (one, other, redelivered) = (s.sweeper(), s.sweeper(), s.worker());
            let waits = [s.millis_below(8.0), s.millis_below(8.0)];
            let second = async {
                tokio::time::sleep(waits[0]).await;
                other.sweep_once().await
            };
            let third = async {
                tokio::time::sleep(waits[1]).await;
                redelivered.run(orders.orders.clone()).await
            };
            tokio::join!(one.sweep_once(), second, third);
            s.assert_progress_by_sweeping(BOUND).await;
            orders.assert_ended_as_meant(&s).await;
        }
        s.assert_right().await;
    })
    .await;
}
