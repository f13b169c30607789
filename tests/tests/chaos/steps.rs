//! Single steps of the protocol, as a worker does them that goes no further, and what they left.

use crate::scenario::{SHORT, Scenario};
use domain::{AccountId, LegKind, OrderState, ShardName, StoreKind};
use saga::{Branch, Decision, Pass, State, TransactionLog, TryOutcome, Verdict};
use std::collections::BTreeMap;
use store::{AccountLeg, Lookup, OrderLog, OrderLogSettings, OrderRow, PaymentOrder};

impl Scenario {
    pub fn log(&self) -> OrderLog {
        self.own.order_log(SHORT)
    }

    /// Round 1.
    pub async fn begin(&self, orders: &[PaymentOrder]) {
        self.begin_with(SHORT, orders).await;
    }

    pub async fn begin_with(&self, settings: OrderLogSettings, orders: &[PaymentOrder]) {
        let log = self.own.order_log(settings);
        for set in self.by_home(orders) {
            let mut conn = self.pool_of(&set[0]).acquire().await.unwrap();
            log.begin(&mut conn, &set, Pass::First).await.unwrap();
        }
    }

    /// Round 2 of every debit.
    pub async fn try_debits(&self, orders: &[PaymentOrder]) {
        for shard in self.shards_of(StoreKind::Accounts) {
            let shard = self.own.routing().shard_id(shard);
            let mut set: Vec<_> = orders
                .iter()
                .flat_map(|order| self.branches(order))
                .collect();
            set.retain(|branch| branch.shard == shard && branch.payload.kind == LegKind::Debit);
            set.sort_by_key(|branch| (branch.xid, branch.number));
            if !set.is_empty() {
                let tried = self.own.try_all(&set).await;
                assert_eq!(tried, vec![TryOutcome::Reserved; set.len()]);
            }
        }
    }

    /// Round 3 of orders that nobody else decides.
    pub async fn decide_all(&self, orders: &[PaymentOrder], verdict: Verdict) {
        let log = self.log();
        for set in self.by_home(orders) {
            let mut conn = self.pool_of(&set[0]).acquire().await.unwrap();
            let xids = set.iter().map(|order| log.xid(order));
            let decisions: Vec<_> = xids.map(|xid| Decision { xid, verdict }).collect();
            let states = log.decide(&mut conn, &decisions).await.unwrap();
            assert_eq!(states, vec![verdict.state(); set.len()]);
        }
    }

    /// Round 3; the state that stands afterwards, whoever decided.
    pub async fn decide(&self, order: &PaymentOrder, verdict: Verdict) -> State {
        let log = self.log();
        let mut conn = self.pool_of(order).acquire().await.unwrap();
        let xid = log.xid(order);
        let decisions = [Decision { xid, verdict }];
        log.decide(&mut conn, &decisions).await.unwrap()[0]
    }

    /// The orders of each order shard, sorted as the engine sorts.
    fn by_home(&self, orders: &[PaymentOrder]) -> Vec<Vec<PaymentOrder>> {
        let mut homes: BTreeMap<ShardName, Vec<PaymentOrder>> = BTreeMap::new();
        for order in orders {
            let home = self.own.routing().order_shard(order.id);
            homes.entry(home).or_default().push(order.clone());
        }
        let mut sets: Vec<_> = homes.into_values().collect();
        sets.iter_mut()
            .for_each(|set| set.sort_by_key(|order| order.id));
        sets
    }

    /// The order's branches, by their numbers.
    pub fn branches(&self, order: &PaymentOrder) -> Vec<Branch<AccountLeg>> {
        let mut branches = Vec::new();
        self.log().branches(order, &mut branches);
        branches
    }

    /// Its one debit, as a set of its shard.
    pub fn debit(&self, order: &PaymentOrder) -> [Branch<AccountLeg>; 1] {
        let mut branches = self.branches(order);
        branches.retain(|branch| branch.payload.kind == LegKind::Debit);
        branches.try_into().unwrap()
    }

    /// The states of its debit's hold: none, or one.
    pub async fn hold(&self, order: &PaymentOrder) -> Option<u8> {
        let [debit] = self.debit(order);
        let holds = self.own.holds(debit.payload.account, debit.xid.0).await;
        assert!(holds.len() <= 1, "{holds:?}");
        holds.first().map(|(_, state)| *state)
    }

    /// Ledger balance and held.
    pub async fn money(&self, account: AccountId) -> (i64, i64) {
        let (balance, held, _) = self.own.money(account).await;
        (balance, held)
    }

    pub fn pool_of(&self, order: &PaymentOrder) -> &sqlx::MySqlPool {
        self.own.pool(self.own.routing().order_shard(order.id))
    }

    pub async fn row(&self, order: &PaymentOrder) -> Option<OrderRow> {
        match self.own.orders.find(&[order.id]).await.remove(0) {
            Lookup::Found(row) => Some(*row),
            Lookup::Missing => None,
            Lookup::Unreachable(cause) | Lookup::Unreadable(cause) => panic!("{cause}"),
        }
    }

    pub async fn state(&self, order: &PaymentOrder) -> Option<OrderState> {
        Some(self.row(order).await?.state)
    }

    pub fn shards_of(&self, store: StoreKind) -> Vec<ShardName> {
        let names = self.own.routing().names();
        names.filter(|name| name.store == store).collect()
    }
}
