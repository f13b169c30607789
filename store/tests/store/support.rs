//! Short words for what most tests do.

pub use crate::databases::{Own, with_stores};

use domain::{AccountId, AccountKind, BodyDigest, Currency, Leg, LegKind, OrderId, Xid};
use saga::{Branch, FinishOutcome, Participant, Pass, SqlFault, TryOutcome};
use sqlx::mysql::{MySqlConnection, MySqlPool};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use store::{
    AccountLeg, AccountParticipant, Funded, Funding, NewAccount, Opened, PaymentOrder, Scope,
};

/// The tenant of a test's accounts, and its back office.
pub const TENANT: &str = "demo";
pub const BACK_OFFICE: Scope<'_> = Scope {
    tenant: TENANT,
    merchant: None,
};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// 16 bytes that no other call of any test run gives.
pub fn fresh() -> [u8; 16] {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let parts = [std::process::id().to_be_bytes(), rand_word()].concat();
    let digest = BodyDigest::of_parts([&number.to_be_bytes()[..], &parts]);
    digest.as_bytes()[..16].try_into().unwrap()
}

fn rand_word() -> [u8; 4] {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    since.subsec_nanos().to_be_bytes()
}

pub fn usd() -> Currency {
    "USD".parse().unwrap()
}

impl Own {
    pub fn pool_of(&self, account: AccountId) -> &MySqlPool {
        self.pool(self.routing().account_shard(account))
    }

    /// An account whose rows live on this account shard, with this much money.
    pub async fn account_on(&self, shard: u16, money: i64) -> AccountId {
        let id = loop {
            let id = AccountId::from_bytes(fresh());
            if self.routing().account_shard(id).index == shard {
                break id;
            }
        };
        self.open(customer(id)).await;
        if money > 0 {
            self.fund(id, money).await;
        }
        id
    }

    pub async fn account(&self, money: i64) -> AccountId {
        self.account_on(0, money).await
    }

    pub async fn open(&self, new: NewAccount) {
        let opened = self.accounts.open(&new).await.unwrap();
        assert!(matches!(opened, Opened::New(_)), "{opened:?}");
    }

    pub async fn fund(&self, account: AccountId, amount: i64) {
        let funding = Funding {
            xid: Xid::from_bytes(fresh()),
            account,
            amount,
            currency: usd(),
        };
        let funded = self.accounts.fund(BACK_OFFICE, &funding).await.unwrap();
        assert!(matches!(funded, Funded::Booked(_)), "{funded:?}");
    }

    /// Ledger balance, held and the number of entries.
    pub async fn money(&self, id: AccountId) -> (i64, i64, u64) {
        let account = self.accounts.find(BACK_OFFICE, id).await.unwrap().unwrap();
        (account.ledger_balance, account.held, account.last_entry)
    }

    /// The states of the holds of a global transaction on the shard of `account`.
    pub async fn holds(&self, account: AccountId, xid: [u8; 16]) -> Vec<(u8, u8)> {
        sqlx::query_as("SELECT leg, state FROM holds WHERE xid = ? ORDER BY leg")
            .bind(&xid[..])
            .fetch_all(self.pool_of(account))
            .await
            .unwrap()
    }

    pub async fn try_all(&self, branches: &[Branch<AccountLeg>]) -> Vec<TryOutcome> {
        self.phase(branches, async |conn, pass| {
            AccountParticipant.try_reserve(conn, branches, pass).await
        })
        .await
    }

    pub async fn confirm_all(&self, branches: &[Branch<AccountLeg>]) -> Vec<FinishOutcome> {
        self.phase(branches, async |conn, pass| {
            AccountParticipant.confirm(conn, branches, pass).await
        })
        .await
    }

    pub async fn cancel_all(&self, branches: &[Branch<AccountLeg>]) -> Vec<FinishOutcome> {
        self.phase(branches, async |conn, pass| {
            AccountParticipant.cancel(conn, branches, pass).await
        })
        .await
    }

    /// One phase of one shard's branches, as the coordinator runs it.
    async fn phase<T>(
        &self,
        branches: &[Branch<AccountLeg>],
        run: impl AsyncFn(&mut MySqlConnection, Pass) -> Result<T, SqlFault>,
    ) -> T {
        let shards = self.shards();
        let pool = &shards.get(branches[0].shard).pool;
        let mut pass = Pass::First;
        for _ in 0..50 {
            let mut tx = pool.begin().await.unwrap();
            match run(&mut tx, pass).await {
                Ok(answer) => {
                    tx.commit().await.unwrap();
                    return answer;
                }
                Err(SqlFault::Definite(error)) => panic!("{error}"),
                Err(SqlFault::Duplicate(_) | SqlFault::Partial { .. }) => pass = Pass::Again,
                Err(SqlFault::Transient(_)) => {}
            }
            tx.rollback().await.unwrap();
        }
        panic!("the phase kept meeting transient faults");
    }

    /// A branch on the shard of its account.
    pub fn branch(
        &self,
        xid: [u8; 16],
        number: u8,
        kind: LegKind,
        account: AccountId,
        amount: i64,
    ) -> Branch<AccountLeg> {
        let routing = self.routing();
        Branch {
            xid: saga::Xid(xid),
            number,
            shard: routing.shard_id(routing.account_shard(account)),
            payload: AccountLeg {
                tenant: Arc::from(TENANT),
                merchant: Arc::from("shop"),
                kind,
                account,
                amount,
                currency: usd(),
                arrival: 0,
            },
        }
    }

    pub fn debit(&self, account: AccountId, amount: i64) -> Branch<AccountLeg> {
        self.branch(fresh(), 0, LegKind::Debit, account, amount)
    }

    pub fn credit(&self, account: AccountId, amount: i64) -> Branch<AccountLeg> {
        self.branch(fresh(), 1, LegKind::Credit, account, amount)
    }

    /// How many rows a question counts.
    pub async fn count(&self, pool: &MySqlPool, question: &'static str) -> i64 {
        sqlx::query_scalar(question).fetch_one(pool).await.unwrap()
    }
}

pub fn customer(id: AccountId) -> NewAccount {
    NewAccount {
        id,
        tenant: TENANT.into(),
        merchant: None,
        kind: AccountKind::Customer,
        currency: usd(),
        name: "a customer".into(),
        body_digest: None,
    }
}

/// An order of one debit and one credit, accepted now and good for a day.
pub fn order(payer: AccountId, payee: AccountId, amount: i64) -> PaymentOrder {
    let now = chrono::Utc::now();
    let leg = |kind, account| Leg {
        kind,
        account,
        amount,
    };
    let id = fresh();
    PaymentOrder {
        id: OrderId::from_bytes(id),
        tenant: Arc::from(TENANT),
        merchant: Arc::from("shop"),
        amount,
        currency: usd(),
        legs: Arc::from([leg(LegKind::Debit, payer), leg(LegKind::Credit, payee)]),
        reference: None,
        description: None,
        metadata: None,
        body_digest: BodyDigest::of_parts([&id[..]]),
        accepted_at: now,
        not_after: now + chrono::TimeDelta::days(1),
        arrival: 0,
    }
}
