//! The orders as the engine's log: an order's row is its global transaction's log row and its own
//! branch at once. Its try is the insert as trying, its confirm is `paid`, its cancel `cancelled`.

use crate::open_orders;
use crate::orders::{self, Deadlines, LogState};
use crate::{AccountLeg, OrderRow, PaymentOrder, Routing};
use domain::{OrderId, OrderState, Reason, StoreKind};
use saga::{
    Begun, Branch, Claimed, Decision, Ending, Outcome, Pass, Postponement, ShardId, SqlFault,
    State, TransactionLog, Verdict, Xid,
};
use serde::{Deserialize, Serialize};
use sqlx::mysql::MySqlConnection;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long orders may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrderLogSettings {
    /// An order undecided this long after it was logged is cancelled as expired.
    pub decide_within_ms: u64,
    /// How long a new order belongs to the worker that logged it, before a sweeper may take it.
    pub lease_ms: u64,
}

impl Default for OrderLogSettings {
    fn default() -> Self {
        Self {
            decide_within_ms: 15 * 60 * 1000,
            lease_ms: 30_000,
        }
    }
}

/// The order shards as the engine's log.
#[derive(Debug, Clone)]
pub struct OrderLog {
    routing: Arc<Routing>,
    deadlines: Deadlines,
}

impl OrderLog {
    pub(crate) fn new(routing: Arc<Routing>, settings: OrderLogSettings) -> Self {
        Self {
            routing,
            deadlines: Deadlines {
                decide_within: Duration::from_millis(settings.decide_within_ms),
                lease: Duration::from_millis(settings.lease_ms),
            },
        }
    }
}

impl TransactionLog for OrderLog {
    type Record = PaymentOrder;
    type Payload = AccountLeg;

    fn xid(&self, record: &PaymentOrder) -> Xid {
        xid(record.id)
    }

    fn same(&self, one: &PaymentOrder, other: &PaymentOrder) -> bool {
        said(one) == said(other)
    }

    fn shard(&self, record: &PaymentOrder) -> ShardId {
        self.routing.shard_id(self.routing.order_shard(record.id))
    }

    fn shards(&self) -> Vec<ShardId> {
        let is_orders = |name: &domain::ShardName| match name.store {
            StoreKind::Orders => true,
            StoreKind::Accounts => false,
        };
        let orders = self.routing.names().filter(is_orders);
        orders.map(|name| self.routing.shard_id(name)).collect()
    }

    fn branches(&self, record: &PaymentOrder, out: &mut Vec<Branch<AccountLeg>>) {
        out.extend(record.numbered_legs().map(|(number, leg)| {
            Branch {
                xid: xid(record.id),
                number,
                shard: self
                    .routing
                    .shard_id(self.routing.account_shard(leg.account)),
                payload: AccountLeg {
                    tenant: record.tenant.clone(),
                    merchant: record.merchant.clone(),
                    kind: leg.kind,
                    account: leg.account,
                    amount: leg.amount,
                    currency: record.currency,
                    arrival: record.arrival,
                },
            }
        }));
    }

    async fn begin(
        &self,
        conn: &mut MySqlConnection,
        records: &[PaymentOrder],
        pass: Pass,
    ) -> Result<Vec<Begun>, SqlFault> {
        let old = match pass {
            Pass::First => HashMap::new(),
            // Without a lock: what is read is committed, and the decision's compare-and-set has
            // the last word.
            Pass::Again => orders::read_states(conn, records.iter().map(|r| r.id)).await?,
        };
        let mut new: Vec<&PaymentOrder> = Vec::with_capacity(records.len());
        new.extend(
            records
                .iter()
                .filter(|record| !old.contains_key(&record.id)),
        );
        orders::insert(conn, &new, self.deadlines).await?;
        let now = orders::now(conn).await?;
        let begun = |record: &PaymentOrder| match old.get(&record.id) {
            Some(row) => begun_before(record, row),
            None => Begun::Logged {
                state: State::Trying,
                reason: None,
                overdue: (record.not_after < now).then(|| engine_reason(Reason::Expired)),
            },
        };
        Ok(records.iter().map(begun).collect())
    }

    async fn decide(
        &self,
        conn: &mut MySqlConnection,
        decisions: &[Decision],
    ) -> Result<Vec<State>, SqlFault> {
        let rows = decisions.iter().map(|decision| {
            let (state, reason) = match decision.verdict {
                Verdict::Confirm => (OrderState::Confirming, 0),
                Verdict::Cancel(reason) => (OrderState::Cancelling, reason_code(reason)),
            };
            (order_id(decision.xid), state, reason)
        });
        if orders::decide(conn, rows).await? != decisions.len() as u64 {
            return states(conn, decisions.iter().map(|decision| decision.xid)).await;
        }
        let decided = |decision: &Decision| match decision.verdict {
            Verdict::Confirm => State::Confirming,
            Verdict::Cancel(_) => State::Cancelling,
        };
        Ok(decisions.iter().map(decided).collect())
    }

    async fn end(
        &self,
        conn: &mut MySqlConnection,
        endings: &[Ending],
    ) -> Result<Vec<State>, SqlFault> {
        let rows = endings.iter().map(|ending| {
            let (decided, ended) = match ending.outcome {
                Outcome::Confirmed => (OrderState::Confirming, OrderState::Paid),
                Outcome::Cancelled => (OrderState::Cancelling, OrderState::Cancelled),
            };
            (order_id(ending.xid), decided, ended)
        });
        if orders::end(conn, rows).await? != endings.len() as u64 {
            return states(conn, endings.iter().map(|ending| ending.xid)).await;
        }
        let ended = |ending: &Ending| match ending.outcome {
            Outcome::Confirmed => State::Confirmed,
            Outcome::Cancelled => State::Cancelled,
        };
        Ok(endings.iter().map(ended).collect())
    }

    async fn claim_due(
        &self,
        conn: &mut MySqlConnection,
        _: ShardId,
        limit: u32,
        lease: Duration,
    ) -> Result<Vec<Claimed<PaymentOrder>>, SqlFault> {
        let mut claimed = orders::claim_due(conn, limit, lease).await?;
        claimed.sort_unstable_by_key(|(row, _)| row.seq);
        Ok((0..).zip(claimed).map(claim).collect())
    }

    async fn postpone(
        &self,
        conn: &mut MySqlConnection,
        postponements: &[Postponement],
    ) -> Result<(), SqlFault> {
        let rows = postponements
            .iter()
            .map(|p| (order_id(p.xid), p.delay, p.cause.as_str()));
        Ok(orders::postpone(conn, rows).await?)
    }

    async fn count_attempted(
        &self,
        conn: &mut MySqlConnection,
        _: ShardId,
        attempts: u32,
        rows_max: u32,
    ) -> Result<u64, SqlFault> {
        Ok(open_orders::count_attempted(conn, attempts, rows_max).await?)
    }
}

/// What makes two records of one xid the same request.
fn said(order: &PaymentOrder) -> (&str, &str, domain::BodyDigest) {
    (&order.tenant, &order.merchant, order.body_digest)
}

fn begun_before(record: &PaymentOrder, row: &LogState) -> Begun {
    if said(record) != (&row.tenant, &row.merchant, row.body_digest) {
        return Begun::Conflict(format!(
            "the order {} was logged before with another body",
            record.id
        ));
    }
    logged(row.state, row.reason, row.overdue)
}

fn logged(state: OrderState, reason: Option<Reason>, overdue: bool) -> Begun {
    let state = engine_state(state);
    let late = overdue && state == State::Trying;
    Begun::Logged {
        state,
        reason: reason.map(engine_reason),
        overdue: late.then(|| engine_reason(Reason::Expired)),
    }
}

fn claim((arrival, (row, overdue)): (u32, (OrderRow, bool))) -> Claimed<PaymentOrder> {
    Claimed {
        begun: logged(row.state, row.reason, overdue),
        attempts: row.attempts,
        record: PaymentOrder::of_row(row, arrival),
    }
}

/// The states that stand, for a compare-and-set that somebody else has won in part.
async fn states(
    conn: &mut MySqlConnection,
    xids: impl Iterator<Item = Xid> + Clone + Send,
) -> Result<Vec<State>, SqlFault> {
    let rows = orders::read_states(conn, xids.clone().map(order_id)).await?;
    let state = |xid| match rows.get(&order_id(xid)) {
        Some(row) => Ok(engine_state(row.state)),
        None => Err(SqlFault::from(sqlx::Error::RowNotFound)),
    };
    xids.map(state).collect()
}

fn xid(id: OrderId) -> Xid {
    Xid(*id.as_bytes())
}

fn order_id(xid: Xid) -> OrderId {
    OrderId::from_bytes(xid.0)
}

fn engine_reason(reason: Reason) -> saga::Reason {
    saga::Reason(reason.into())
}

/// The engine's reasons come from here, so each fits the column.
fn reason_code(reason: saga::Reason) -> u8 {
    u8::try_from(reason.0).unwrap_or(u8::MAX)
}

fn engine_state(state: OrderState) -> State {
    match state {
        OrderState::Trying => State::Trying,
        OrderState::Confirming => State::Confirming,
        OrderState::Cancelling => State::Cancelling,
        OrderState::Paid => State::Confirmed,
        OrderState::Cancelled => State::Cancelled,
    }
}
