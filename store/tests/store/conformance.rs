//! The engine's conformance kit: the account participant's debits and credits, the order log, and
//! both together.

use crate::support::{BACK_OFFICE, Own, fresh, order, with_stores};
use domain::{AccountId, BodyDigest, LegKind, StoreKind};
use saga::conformance::{Effect, engine, log, participant};
use saga::{Branch, Reason, Shards, TransactionLog, Xid};
use store::{AccountLeg, AccountParticipant, OrderLog, OrderLogSettings, PaymentOrder};

/// What a branch has done: its open hold, and its entries.
async fn effect(own: &Own, branch: &Branch<AccountLeg>) -> Effect {
    let pool = own.pool_of(branch.payload.account);
    let count = async |question: &'static str| -> u32 {
        let count: i64 = sqlx::query_scalar(question)
            .bind(&branch.xid.0[..])
            .bind(branch.number)
            .fetch_one(pool)
            .await
            .unwrap();
        u32::try_from(count).unwrap()
    };
    Effect {
        reserved: count("SELECT COUNT(*) FROM holds WHERE xid = ? AND leg = ? AND state = 1").await,
        settled: count("SELECT COUNT(*) FROM entries WHERE xid = ? AND leg = ?").await,
    }
}

async fn run_on_orders(own: &Own, statement: &'static str, xid: Option<Xid>) {
    for name in own.names().filter(|name| name.store == StoreKind::Orders) {
        let query = sqlx::query(statement);
        let query = match xid {
            Some(xid) => query.bind(xid.0.to_vec()),
            None => query,
        };
        query.execute(own.pool(name)).await.unwrap();
    }
}

const MAKE_DUE: &str = "UPDATE orders SET next_attempt_at = created_at
 WHERE next_attempt_at IS NOT NULL";
const MAKE_OVERDUE: &str =
    "UPDATE orders SET decide_by = created_at - INTERVAL 1 SECOND WHERE id = ?";

struct Legs {
    own: Own,
    kind: LegKind,
    good: AccountId,
    bad: AccountId,
}

impl participant::Harness for Legs {
    type Participant = AccountParticipant;

    fn participant(&self) -> &AccountParticipant {
        &AccountParticipant
    }

    fn shards(&self) -> Shards {
        self.own.shards()
    }

    async fn ready(&self, n: usize) -> Vec<Branch<AccountLeg>> {
        let branch = |_| self.own.branch(fresh(), 0, self.kind, self.good, 10);
        let mut branches: Vec<_> = (0..n).map(branch).collect();
        branches.sort_by_key(|branch| branch.xid);
        branches
    }

    async fn refusing(&self) -> Branch<AccountLeg> {
        self.own.branch(fresh(), 0, self.kind, self.bad, 10)
    }

    fn altered(&self, branch: &Branch<AccountLeg>) -> Option<Branch<AccountLeg>> {
        let mut altered = branch.clone();
        altered.payload.amount += 1;
        match self.kind {
            LegKind::Debit => Some(altered),
            LegKind::Credit => None,
        }
    }

    async fn effect(&self, branch: &Branch<AccountLeg>) -> Effect {
        effect(&self.own, branch).await
    }

    fn is_confirm_only(&self) -> bool {
        self.kind == LegKind::Credit
    }
}

async fn legs_conform(kind: LegKind) {
    with_stores(async |own| {
        let (good, bad) = (own.account(1_000_000).await, own.account(0).await);
        own.accounts.close(BACK_OFFICE, bad).await.unwrap();
        let legs = Legs {
            own: own.clone(),
            kind,
            good,
            bad,
        };
        participant::run_all(&legs).await.unwrap();
        // What the checks left reserved is on the account, and nothing else.
        let pool = own.pool_of(good);
        let open = "SELECT CAST(COALESCE(SUM(amount), 0) AS SIGNED) FROM holds WHERE state = 1";
        assert_eq!(own.money(good).await.1, own.count(pool, open).await);
        assert_eq!(own.money(bad).await, (0, 0, 0));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn debits_conform() {
    legs_conform(LegKind::Debit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_conform() {
    legs_conform(LegKind::Credit).await;
}

struct Orders {
    own: Own,
    log: OrderLog,
    payers: [AccountId; 2],
    payees: [AccountId; 2],
    closed: AccountId,
}

impl Orders {
    async fn new(own: &Own) -> Self {
        let closed = own.account_on(1, 0).await;
        own.accounts.close(BACK_OFFICE, closed).await.unwrap();
        Self {
            own: own.clone(),
            log: own.order_log(OrderLogSettings::default()),
            payers: [
                own.account_on(0, 1_000_000).await,
                own.account_on(1, 1_000_000).await,
            ],
            payees: [own.account_on(1, 0).await, own.account_on(0, 0).await],
            closed,
        }
    }

    fn of_first_shard(&self, n: usize) -> Vec<PaymentOrder> {
        let mut orders = Vec::new();
        while orders.len() < n {
            let order = order(self.payers[0], self.payees[0], 10);
            if self.log.shard(&order).0 == 0 {
                orders.push(order);
            }
        }
        orders.sort_by_key(|order| order.id);
        orders
    }

    fn with_another_body(&self, record: &PaymentOrder) -> PaymentOrder {
        PaymentOrder {
            body_digest: BodyDigest::of_parts([b"another body".as_slice()]),
            ..record.clone()
        }
    }
}

impl log::Harness for Orders {
    type Log = OrderLog;

    fn log(&self) -> &OrderLog {
        &self.log
    }

    fn shards(&self) -> Shards {
        self.own.shards()
    }

    async fn records(&self, n: usize) -> Vec<PaymentOrder> {
        self.of_first_shard(n)
    }

    fn altered(&self, record: &PaymentOrder) -> PaymentOrder {
        self.with_another_body(record)
    }

    fn reason(&self) -> Reason {
        Reason(domain::Reason::AccountClosed.into())
    }

    async fn make_due(&self) {
        run_on_orders(&self.own, MAKE_DUE, None).await;
    }

    async fn make_overdue(&self, record: &PaymentOrder) {
        run_on_orders(&self.own, MAKE_OVERDUE, Some(self.log.xid(record))).await;
    }
}

impl engine::Harness for Orders {
    type Log = OrderLog;
    type Participant = AccountParticipant;

    fn log(&self) -> OrderLog {
        self.log.clone()
    }

    fn participant(&self) -> AccountParticipant {
        self.own.account_participant()
    }

    fn shards(&self) -> Shards {
        self.own.shards()
    }

    async fn confirming(&self, n: usize) -> Vec<PaymentOrder> {
        let orders = (0..n).map(|i| order(self.payers[i % 2], self.payees[i % 2], 10));
        orders.collect()
    }

    async fn refusing(&self, n: usize) -> Vec<PaymentOrder> {
        let short = |i| order(self.payers[i % 2], self.payees[i % 2], 10_000_000);
        let closed = |i| order(self.payers[i % 2], self.closed, 10);
        (0..n)
            .map(|i| if i % 3 == 0 { short(i) } else { closed(i) })
            .collect()
    }

    fn altered(&self, record: &PaymentOrder) -> PaymentOrder {
        self.with_another_body(record)
    }

    async fn effects(&self, record: &PaymentOrder) -> Vec<Effect> {
        let mut branches = Vec::new();
        self.log.branches(record, &mut branches);
        let mut effects = Vec::new();
        for branch in &branches {
            effects.push(effect(&self.own, branch).await);
        }
        effects
    }

    async fn make_due(&self) {
        run_on_orders(&self.own, MAKE_DUE, None).await;
    }

    async fn make_overdue(&self, record: &PaymentOrder) {
        run_on_orders(&self.own, MAKE_OVERDUE, Some(self.log.xid(record))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_log_conforms() {
    with_stores(async |own| {
        log::run_all(&Orders::new(&own).await).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_and_accounts_conform_together_and_the_books_balance() {
    with_stores(async |own| {
        engine::run_all(&Orders::new(&own).await).await.unwrap();
        let report = store::verify::run(&own).await;
        assert_eq!((report.breaches, report.in_flight), (Vec::new(), 0));
    })
    .await;
}
