//! The owner of money: each leg of an order is a branch on its account's shard.
//!
//! A debit reserves at the try: a row in `holds`, which is the branch's fence, and the account's
//! `held`. The confirm makes it an entry, the cancel releases it. A credit is confirm-only: the try
//! looks whether the payee may be paid, and from then on the money lands, also on an account closed
//! since; the fence is its entry's unique key. So a credit has no tombstone, and its cancel only
//! asserts that no entry exists.
//!
//! Locks are taken in one order by all three: holds by (xid, leg), then accounts by id, then
//! entries. Accounts are written last, so that a hot account's lock lasts little longer than the
//! commit.

use crate::accounts::{self, AccountState};
use crate::decide::{credit_refusal, decide_debits};
use crate::holds::{self, BranchKey, Hold, HoldKey, HoldState};
use crate::{entries, settle};
use domain::{AccountId, Currency, LegKind, Reason, Xid};
use saga::{Branch, FinishOutcome, Participant, Pass, SqlFault, TryOutcome};
use sqlx::mysql::MySqlConnection;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What a branch of an order carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountLeg {
    /// The order's tenant.
    pub tenant: Arc<str>,
    /// The order's merchant.
    pub merchant: Arc<str>,
    /// Debit or credit.
    pub kind: LegKind,
    /// Whose balance changes.
    pub account: AccountId,
    /// Minor units.
    pub amount: i64,
    /// Of which currency.
    pub currency: Currency,
    /// The order's place in the log among those of its batch: the smaller reserves first.
    pub arrival: u32,
}

/// Accounts, holds and entries as a participant of the engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct AccountParticipant;

pub(crate) type AccountBranch = Branch<AccountLeg>;

/// The fence of a branch.
pub(crate) fn key(branch: &AccountBranch) -> BranchKey {
    (Xid::from_bytes(branch.xid.0), branch.number)
}

pub(crate) fn hold_key(branch: &AccountBranch) -> HoldKey {
    HoldKey {
        key: key(branch),
        account: branch.payload.account,
        amount: branch.payload.amount,
    }
}

/// Debits and credits of a batch, each with its place in it.
pub(crate) struct Sides<'a> {
    pub debits: Vec<(usize, &'a AccountBranch)>,
    pub credits: Vec<(usize, &'a AccountBranch)>,
}

pub(crate) fn sides(branches: &[AccountBranch]) -> Sides<'_> {
    let is_debit = |(_, branch): &(usize, &AccountBranch)| match branch.payload.kind {
        LegKind::Debit => true,
        LegKind::Credit => false,
    };
    let (debits, credits) = branches.iter().enumerate().partition(is_debit);
    Sides { debits, credits }
}

/// The accounts of branches, each once, sorted.
pub(crate) fn accounts_of<'a>(
    branches: impl IntoIterator<Item = &'a AccountBranch>,
) -> Vec<AccountId> {
    let ids: BTreeSet<AccountId> = branches.into_iter().map(|b| b.payload.account).collect();
    ids.into_iter().collect()
}

impl Participant for AccountParticipant {
    type Payload = AccountLeg;

    async fn try_reserve(
        &self,
        conn: &mut MySqlConnection,
        branches: &[AccountBranch],
        pass: Pass,
    ) -> Result<Vec<TryOutcome>, SqlFault> {
        let sides = sides(branches);
        let mut outcomes = vec![TryOutcome::Reserved; branches.len()];
        let credits = refused_credits(conn, &sides.credits).await?;
        let debits = reserve(conn, &sides.debits, pass).await?;
        for (place, outcome) in credits.into_iter().chain(debits) {
            outcomes[place] = outcome;
        }
        Ok(outcomes)
    }

    async fn confirm(
        &self,
        conn: &mut MySqlConnection,
        branches: &[AccountBranch],
        pass: Pass,
    ) -> Result<Vec<FinishOutcome>, SqlFault> {
        match pass {
            Pass::First => settle::confirm_first(conn, branches).await,
            Pass::Again => settle::confirm_again(conn, branches).await,
        }
    }

    async fn cancel(
        &self,
        conn: &mut MySqlConnection,
        branches: &[AccountBranch],
        _: Pass,
    ) -> Result<Vec<FinishOutcome>, SqlFault> {
        let sides = sides(branches);
        let mut outcomes = vec![FinishOutcome::Done; branches.len()];
        let debits = release(conn, &sides.debits).await?;
        let credits = booked_credits(conn, &sides.credits).await?;
        for (place, breach) in debits.into_iter().chain(credits) {
            outcomes[place] = FinishOutcome::Breach(breach);
        }
        Ok(outcomes)
    }
}

type At<T> = Vec<(usize, T)>;

/// The debits' try: answers those that are not reserved.
async fn reserve(
    conn: &mut MySqlConnection,
    debits: &[(usize, &AccountBranch)],
    pass: Pass,
) -> Result<At<TryOutcome>, SqlFault> {
    if debits.is_empty() {
        return Ok(Vec::new());
    }
    let old = match pass {
        Pass::First => HashMap::new(),
        Pass::Again => holds::lock(conn, debits.iter().map(|(_, b)| key(b))).await?,
    };
    let mut outcomes = Vec::new();
    let mut new = Vec::new();
    for (place, branch) in debits {
        match old.get(&key(branch)) {
            Some(hold) => outcomes.push((*place, tried_before(&branch.payload, hold))),
            None => new.push((*place, *branch)),
        }
    }
    if !new.is_empty() {
        outcomes.extend(reserve_new(conn, &new).await?);
    }
    Ok(outcomes)
}

/// A repeated try answers what the first one answered.
fn tried_before(leg: &AccountLeg, hold: &Hold) -> TryOutcome {
    if hold.state == HoldState::CancelledBefore {
        return TryOutcome::CancelledBefore;
    }
    if (hold.account, hold.amount) != (leg.account, leg.amount) {
        return TryOutcome::Mismatch(format!(
            "tried before with {} of {}, now with {} of {}",
            hold.amount, hold.account, leg.amount, leg.account
        ));
    }
    match hold.state {
        HoldState::Reserved | HoldState::Confirmed => TryOutcome::Reserved,
        HoldState::Refused => TryOutcome::Refused(engine_reason(
            hold.reason.unwrap_or(Reason::InsufficientFunds),
        )),
        HoldState::Cancelled | HoldState::CancelledBefore => TryOutcome::CancelledBefore,
    }
}

async fn reserve_new(
    conn: &mut MySqlConnection,
    new: &[(usize, &AccountBranch)],
) -> Result<At<TryOutcome>, SqlFault> {
    let rows: Vec<HoldKey> = new.iter().map(|(_, branch)| hold_key(branch)).collect();
    holds::insert(conn, &rows, HoldState::Reserved).await?;
    let payers = accounts::lock(conn, &accounts_of(new.iter().map(|(_, b)| *b))).await?;
    let legs: Vec<&AccountLeg> = new.iter().map(|(_, branch)| &branch.payload).collect();
    let decision = decide_debits(&legs, &payers);
    let mut refused = Vec::new();
    let mut outcomes = Vec::new();
    for ((place, branch), refusal) in new.iter().zip(&decision.refusals) {
        if let Some(reason) = refusal {
            refused.push((key(branch), *reason));
            outcomes.push((*place, TryOutcome::Refused(engine_reason(*reason))));
        }
    }
    if !refused.is_empty() {
        holds::refuse(conn, &refused).await?;
    }
    if !decision.held.is_empty() {
        accounts::add_held(conn, decision.held).await?;
    }
    Ok(outcomes)
}

/// The credits' try: answers those that are refused. One whose entry exists was confirmed before
/// and stays reserved, whatever became of its account.
async fn refused_credits(
    conn: &mut MySqlConnection,
    credits: &[(usize, &AccountBranch)],
) -> Result<At<TryOutcome>, SqlFault> {
    if credits.is_empty() {
        return Ok(Vec::new());
    }
    let payees = accounts::read(conn, &accounts_of(credits.iter().map(|(_, b)| *b))).await?;
    let refusal = |branch: &AccountBranch| {
        let payee: Option<&AccountState> = payees.get(&branch.payload.account);
        credit_refusal(&branch.payload, payee)
    };
    let refused: Vec<_> = credits
        .iter()
        .filter_map(|(place, branch)| Some((*place, key(branch), refusal(branch)?)))
        .collect();
    if refused.is_empty() {
        return Ok(Vec::new());
    }
    let booked = entries::read(conn, refused.iter().map(|(_, key, _)| *key)).await?;
    let outcomes = refused
        .into_iter()
        .filter(|(_, key, _)| !booked.contains_key(key))
        .map(|(place, _, reason)| (place, TryOutcome::Refused(engine_reason(reason))));
    Ok(outcomes.collect())
}

/// The debits' cancel: releases what is reserved and leaves tombstones where nothing was tried.
/// Answers the breaches.
async fn release(
    conn: &mut MySqlConnection,
    debits: &[(usize, &AccountBranch)],
) -> Result<At<String>, SqlFault> {
    if debits.is_empty() {
        return Ok(Vec::new());
    }
    let holds = holds::lock(conn, debits.iter().map(|(_, b)| key(b))).await?;
    let mut breaches = Vec::new();
    let mut tombstones = Vec::new();
    let mut reserved = Vec::new();
    let mut released: BTreeMap<AccountId, i64> = BTreeMap::new();
    for (place, branch) in debits {
        let Some(hold) = holds.get(&key(branch)) else {
            tombstones.push(HoldKey {
                amount: 0,
                ..hold_key(branch)
            });
            continue;
        };
        match hold.state {
            HoldState::Reserved => {
                reserved.push(key(branch));
                *released.entry(hold.account).or_default() -= hold.amount;
            }
            HoldState::Refused | HoldState::Cancelled | HoldState::CancelledBefore => {}
            HoldState::Confirmed => breaches.push((*place, "cancel after confirm".to_owned())),
        }
    }
    if !tombstones.is_empty() {
        holds::insert(conn, &tombstones, HoldState::CancelledBefore).await?;
    }
    if !reserved.is_empty() {
        holds::cancel(conn, reserved).await?;
        accounts::add_held(conn, released).await?;
    }
    Ok(breaches)
}

/// The credits' cancel: answers those that were booked, which is a breach.
async fn booked_credits(
    conn: &mut MySqlConnection,
    credits: &[(usize, &AccountBranch)],
) -> Result<At<String>, SqlFault> {
    if credits.is_empty() {
        return Ok(Vec::new());
    }
    let booked = entries::read(conn, credits.iter().map(|(_, b)| key(b))).await?;
    let breaches = credits
        .iter()
        .filter(|(_, branch)| booked.contains_key(&key(branch)))
        .map(|(place, _)| (*place, "cancel of a credit that was booked".to_owned()));
    Ok(breaches.collect())
}

fn engine_reason(reason: Reason) -> saga::Reason {
    saga::Reason(reason.into())
}
