//! Orders as commands, good and bad, along both account shards, and what they must come to.

use crate::scenario::Scenario;
use crate::support::TENANT;
use domain::{AccountId, OrderState, PaymentCommand, Reason};
use std::collections::HashMap;
use store::PaymentOrder;

const FUNDS: i64 = 1_000_000;

/// What was sent, and how each is to end.
pub struct Orders<'a> {
    s: &'a Scenario,
    rich: [AccountId; 2],
    poor: [AccountId; 2],
    payees: [AccountId; 2],
    closed: [AccountId; 2],
    pub orders: Vec<PaymentOrder>,
    pub commands: Vec<PaymentCommand>,
    /// Why each is to be cancelled; none: it is to be paid.
    pub meant: Vec<Option<Reason>>,
}

impl<'a> Orders<'a> {
    pub async fn new(s: &'a Scenario) -> Self {
        Self {
            s,
            rich: [s.account(0, FUNDS).await, s.account(1, FUNDS).await],
            poor: [s.account(0, 5).await, s.account(1, 5).await],
            payees: [s.account(0, 0).await, s.account(1, 0).await],
            closed: [s.closed_account(0).await, s.closed_account(1).await],
            orders: Vec::new(),
            commands: Vec::new(),
            meant: Vec::new(),
        }
    }

    /// So many that will be paid, from each shard to the other in turn.
    pub fn good(&mut self, count: usize) {
        for place in 0..count {
            let (from, to) = (place % 2, 1 - place % 2);
            self.add(self.rich[from], self.payees[to], None);
        }
    }

    /// So many that will be cancelled: most with a hold to release, some with none.
    pub fn bad(&mut self, count: usize) {
        for place in 0..count {
            let (from, to) = (place % 2, 1 - place % 2);
            match self.s.below(4) {
                0 if place > 1 => {
                    let reason = Some(Reason::InsufficientFunds);
                    self.add(self.poor[from], self.payees[to], reason);
                }
                _ => self.add(
                    self.rich[from],
                    self.closed[to],
                    Some(Reason::AccountClosed),
                ),
            }
        }
    }

    fn add(&mut self, payer: AccountId, payee: AccountId, meant: Option<Reason>) {
        let amount = 10 + self.s.below(90) as i64;
        let order = self.s.order(payer, payee, amount);
        self.commands.push(command_of(&order, payer, payee));
        self.orders.push(order);
        self.meant.push(meant);
    }

    /// Each ended as it was meant to, and the money is where that puts it.
    pub async fn assert_ended_as_meant(&self, s: &Scenario) {
        let mut money: HashMap<AccountId, i64> = HashMap::new();
        money.extend(self.rich.map(|account| (account, FUNDS)));
        money.extend(self.poor.map(|account| (account, 5)));
        money.extend(
            self.payees
                .iter()
                .chain(&self.closed)
                .map(|account| (*account, 0)),
        );
        for (order, meant) in self.orders.iter().zip(&self.meant) {
            let row = s.row(order).await.unwrap();
            let state = match meant {
                None => OrderState::Paid,
                Some(_) => OrderState::Cancelled,
            };
            assert_eq!((row.state, row.reason), (state, *meant), "{row:?}");
            for leg in order.legs.iter().filter(|_| meant.is_none()) {
                *money.get_mut(&leg.account).unwrap() += leg.delta();
            }
        }
        for (account, balance) in money {
            assert_eq!(s.money(account).await, (balance, 0), "{account}");
        }
    }
}

fn command_of(order: &PaymentOrder, payer: AccountId, payee: AccountId) -> PaymentCommand {
    PaymentCommand {
        order_id: order.id,
        tenant: TENANT.to_owned(),
        merchant: order.merchant.to_string(),
        payer,
        payee,
        amount: order.amount,
        currency: order.currency,
        reference: None,
        description: None,
        metadata: None,
        body_digest: order.body_digest,
        accepted_at: order.accepted_at,
        not_after: order.not_after,
    }
}
