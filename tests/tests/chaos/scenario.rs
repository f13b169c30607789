//! One scenario: its seed, databases of its own, the orders it accepted, and who works on them.

use crate::databases::{Own, Servers, with_stores_on};
use crate::invariants;
use crate::support::{self, customer};
use crate::turns;
use domain::{AccountId, BodyDigest, Leg, LegKind, OrderId, OrderState};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use saga::{Answer, Coordinator, CoordinatorSettings, Outcome, Sweeper, SweeperSettings};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use store::{AccountParticipant, Lookup, OrderLog, OrderLogSettings, PaymentOrder, StoresSettings};

/// INV-8 where nothing is in the way: what was accepted has ended within this.
pub const BOUND: Duration = Duration::from_secs(20);

/// A worker of payments.
pub type Payments = Coordinator<OrderLog, AccountParticipant>;

/// A test's world.
pub struct Scenario {
    pub own: Own,
    rng: Mutex<StdRng>,
    accepted: Mutex<Vec<PaymentOrder>>,
}

/// Runs a scenario on the servers that the environment names.
pub async fn scenario<F: Future<Output = ()>>(test: impl FnOnce(Arc<Scenario>) -> F) {
    scenario_on(Servers::of_environment(), test).await;
}

/// The same on other servers.
pub async fn scenario_on<F: Future<Output = ()>>(
    servers: Servers,
    test: impl FnOnce(Arc<Scenario>) -> F,
) {
    let seed = match std::env::var("CHAOS_SEED") {
        Ok(text) => text.parse().expect("CHAOS_SEED is a number"),
        Err(_) => rand::random(),
    };
    let thread = std::thread::current();
    println!("{}: CHAOS_SEED={seed}", thread.name().unwrap_or_default());
    let settings = StoresSettings {
        lock_wait_timeout_s: 1,
        connect_timeout_ms: 5_000,
        ..StoresSettings::default()
    };
    let _shared = turns::shared().await;
    with_stores_on(servers, settings, async |own| {
        let scenario = Arc::new(Scenario {
            own,
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            accepted: Mutex::default(),
        });
        test(scenario).await;
    })
    .await;
}

pub fn paid() -> Answer {
    Answer::Done {
        outcome: Outcome::Confirmed,
        reason: None,
    }
}

pub fn cancelled(reason: domain::Reason) -> Answer {
    Answer::Done {
        outcome: Outcome::Cancelled,
        reason: Some(engine_reason(reason)),
    }
}

pub fn engine_reason(reason: domain::Reason) -> saga::Reason {
    saga::Reason(reason.into())
}

/// Leases and waits as short as a test wants them.
pub const SHORT: OrderLogSettings = OrderLogSettings {
    decide_within_ms: 15 * 60 * 1000,
    lease_ms: 0,
};

pub fn coordinator_settings() -> CoordinatorSettings {
    CoordinatorSettings {
        quick_retries_max: 1,
        set_timeout_ms: 10_000,
        backoff_first_ms: 50,
        backoff_max_ms: 400,
        stuck_after_attempts: 4,
        ..CoordinatorSettings::default()
    }
}

/// Choices, and what is made by them.
impl Scenario {
    /// A random number below this.
    pub fn below(&self, limit: usize) -> usize {
        self.rng.lock().unwrap().random_range(0..limit)
    }

    /// A random number of milliseconds below this, with a fraction.
    pub fn millis_below(&self, limit: f64) -> Duration {
        let millis = self.rng.lock().unwrap().random_range(0.0..limit);
        Duration::from_secs_f64(millis / 1000.0)
    }

    /// An open account on this account shard, with this much money.
    pub async fn account(&self, shard: u16, money: i64) -> AccountId {
        let id = loop {
            let id = AccountId::from_bytes(self.rng.lock().unwrap().random());
            if self.own.routing().account_shard(id).index == shard {
                break id;
            }
        };
        self.own.open(customer(id)).await;
        if money > 0 {
            self.own.fund(id, money).await;
        }
        id
    }

    /// An account that may not be paid.
    pub async fn closed_account(&self, shard: u16) -> AccountId {
        let id = self.account(shard, 0).await;
        let closed = self.own.accounts.close(support::BACK_OFFICE, id).await;
        closed.unwrap();
        id
    }

    /// An order that was accepted: it must end, and be kept.
    pub fn order(&self, payer: AccountId, payee: AccountId, amount: i64) -> PaymentOrder {
        self.accept(support::order(payer, payee, amount))
    }

    /// An order of one payee whom two payers pay, each his part.
    pub fn split_order(&self, payers: [(AccountId, i64); 2], payee: AccountId) -> PaymentOrder {
        let [(one, part), (other, rest)] = payers;
        let leg = |kind, account, amount| Leg {
            kind,
            account,
            amount,
        };
        let legs = [
            leg(LegKind::Debit, one, part),
            leg(LegKind::Debit, other, rest),
            leg(LegKind::Credit, payee, part + rest),
        ];
        self.accept(PaymentOrder {
            legs: Arc::from(legs),
            ..support::order(one, payee, part + rest)
        })
    }

    /// The same order under an id by the seed, accepted after all accepted before.
    pub fn accept(&self, order: PaymentOrder) -> PaymentOrder {
        let id: [u8; 16] = self.rng.lock().unwrap().random();
        let mut accepted = self.accepted.lock().unwrap();
        let order = PaymentOrder {
            id: OrderId::from_bytes(id),
            body_digest: BodyDigest::of_parts([&id[..]]),
            arrival: u32::try_from(accepted.len()).unwrap(),
            ..order
        };
        accepted.push(order.clone());
        order
    }

    pub fn accepted(&self) -> Vec<PaymentOrder> {
        self.accepted.lock().unwrap().clone()
    }
}

/// Whole workers, and the end.
impl Scenario {
    pub fn worker(&self) -> Payments {
        let (log, participant) = (self.log(), self.own.account_participant());
        Coordinator::new(log, participant, self.own.shards(), coordinator_settings())
    }

    pub async fn run(&self, orders: &[PaymentOrder]) -> Vec<Answer> {
        self.worker().run(orders.to_vec()).await
    }

    pub fn sweeper(&self) -> Sweeper<OrderLog, AccountParticipant> {
        let settings = SweeperSettings {
            lease_ms: 2_000,
            idle_ms: 20,
            ..SweeperSettings::default()
        };
        Sweeper::new(Arc::new(self.worker()), settings)
    }

    /// How many of the accepted orders have not ended.
    pub async fn open(&self) -> usize {
        let ids: Vec<OrderId> = self.accepted().iter().map(|order| order.id).collect();
        let found = self.own.orders.find(&ids).await;
        let has_ended = |lookup: &Lookup| match lookup {
            Lookup::Found(row) => matches!(row.state, OrderState::Paid | OrderState::Cancelled),
            Lookup::Missing | Lookup::Unreachable(_) | Lookup::Unreadable(_) => false,
        };
        found.iter().filter(|lookup| !has_ended(lookup)).count()
    }

    /// INV-8: what was accepted ends within the bound, by whoever is at work.
    pub async fn assert_progress(&self, bound: Duration) {
        let since = Instant::now();
        loop {
            let open = self.open().await;
            if open == 0 {
                return;
            }
            let waited = since.elapsed();
            assert!(
                waited < bound,
                "INV-8 is breached: {open} open after {waited:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The same by a sweeper alone.
    pub async fn assert_progress_by_sweeping(&self, bound: Duration) {
        let (since, sweeper) = (Instant::now(), self.sweeper());
        while self.open().await > 0 {
            let waited = since.elapsed();
            assert!(waited < bound, "INV-8 is breached: open after {waited:?}");
            sweeper.sweep_once().await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sweeps until everything has ended, within the bound; then INV-1 to INV-7 by name.
    pub async fn assert_swept_and_right(&self, bound: Duration) {
        self.assert_progress_by_sweeping(bound).await;
        self.assert_right().await;
    }

    /// INV-1 to INV-7 by name, of everything accepted.
    pub async fn assert_right(&self) {
        invariants::assert_right(self).await;
    }
}
