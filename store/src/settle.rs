//! The confirm of accounts: holds become entries, credits land, one net update for each account.

use crate::account_participant::{AccountBranch, accounts_of, hold_key, key, sides};
use crate::accounts::{self, Balance};
use crate::entries::{self, Entry};
use crate::holds::{self, Hold, HoldKey, HoldState};
use crate::postings::{Booking, Postings, book};
use domain::{AccountId, LegKind};
use saga::{FinishOutcome, SqlFault};
use sqlx::mysql::MySqlConnection;
use std::collections::HashMap;

/// A set that nobody has confirmed before: every hold must be reserved and every entry new. If
/// not, nothing of this SQL transaction may stand, and the set is looked at row by row.
pub(crate) async fn confirm_first(
    conn: &mut MySqlConnection,
    branches: &[AccountBranch],
) -> Result<Vec<FinishOutcome>, SqlFault> {
    let debits = sides(branches).debits;
    let captures: Vec<HoldKey> = debits.iter().map(|(_, b)| hold_key(b)).collect();
    if !captures.is_empty() {
        let (changed, asked) = (holds::capture(conn, &captures).await?, captures.len());
        if changed != asked as u64 {
            return Err(SqlFault::Partial { changed, asked });
        }
    }
    let balances = accounts::lock_balances(conn, &accounts_of(branches)).await?;
    let booked = book_by_arrival(branches.iter().enumerate().collect(), &balances);
    if !booked.failures.is_empty() {
        let asked = branches.len();
        let changed = (asked - booked.failures.len()) as u64;
        return Err(SqlFault::Partial { changed, asked });
    }
    write(conn, &booked.postings).await?;
    Ok(vec![FinishOutcome::Done; branches.len()])
}

/// A set of which some may have been confirmed before: books exactly what is missing.
pub(crate) async fn confirm_again(
    conn: &mut MySqlConnection,
    branches: &[AccountBranch],
) -> Result<Vec<FinishOutcome>, SqlFault> {
    let debits = sides(branches).debits;
    let holds = match debits.is_empty() {
        true => HashMap::new(),
        false => holds::lock(conn, debits.iter().map(|(_, b)| key(b))).await?,
    };
    // The accounts' locks first: then no entry can appear between the look and the booking.
    let balances = accounts::lock_balances(conn, &accounts_of(branches)).await?;
    let entries = entries::read(conn, branches.iter().map(key)).await?;
    let mut outcomes = vec![FinishOutcome::Done; branches.len()];
    let mut missing = Vec::new();
    for (place, branch) in branches.iter().enumerate() {
        match next_step(branch, holds.get(&key(branch)), entries.get(&key(branch))) {
            Step::Done => {}
            Step::Book => missing.push((place, branch)),
            Step::Breach(text) => outcomes[place] = FinishOutcome::Breach(text.to_owned()),
        }
    }
    let booked = book_by_arrival(missing, &balances);
    for (place, failure) in booked.failures {
        outcomes[place] = FinishOutcome::Breach(failure);
    }
    if !booked.captures.is_empty() {
        holds::capture(conn, &booked.captures).await?;
    }
    write(conn, &booked.postings).await?;
    Ok(outcomes)
}

/// A set's postings, and what goes with them.
struct BookedSet {
    postings: Postings,
    /// The holds of what was booked, sorted.
    captures: Vec<HoldKey>,
    /// What could not be booked: its place in the set, and why.
    failures: Vec<(usize, String)>,
}

/// Books in the order the orders arrived, so that a statement reads as the log does.
fn book_by_arrival(
    mut branches: Vec<(usize, &AccountBranch)>,
    balances: &HashMap<AccountId, Balance>,
) -> BookedSet {
    branches.sort_by_key(|(_, branch)| branch.payload.arrival);
    let bookings: Vec<Booking> = branches.iter().map(|(_, b)| booking(b)).collect();
    let booked = book(&bookings, balances);
    let mut set = BookedSet {
        postings: booked.postings,
        captures: Vec::new(),
        failures: Vec::new(),
    };
    for ((place, branch), failure) in branches.iter().zip(booked.failures) {
        match (failure, branch.payload.kind) {
            (Some(failure), _) => set.failures.push((*place, failure)),
            (None, LegKind::Debit) => set.captures.push(hold_key(branch)),
            (None, LegKind::Credit) => {}
        }
    }
    set.captures.sort_unstable_by_key(|hold| hold.key);
    set
}

async fn write(conn: &mut MySqlConnection, postings: &Postings) -> Result<(), SqlFault> {
    if !postings.entries.is_empty() {
        entries::insert(conn, &postings.entries).await?;
        accounts::post(conn, &postings.nets).await?;
    }
    Ok(())
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Done,
    Book,
    Breach(&'static str),
}

/// What a confirm has to do about one branch, by the rows that are there.
fn next_step(branch: &AccountBranch, hold: Option<&Hold>, entry: Option<&Entry>) -> Step {
    match branch.payload.kind {
        LegKind::Debit => debit_step(branch, hold, entry),
        LegKind::Credit => credit_step(branch, entry),
    }
}

fn credit_step(branch: &AccountBranch, entry: Option<&Entry>) -> Step {
    let leg = &branch.payload;
    match entry {
        None => Step::Book,
        Some(entry) if (entry.account, entry.delta) == (leg.account, leg.amount) => Step::Done,
        Some(_) => Step::Breach("booked before with another account or amount"),
    }
}

fn debit_step(branch: &AccountBranch, hold: Option<&Hold>, entry: Option<&Entry>) -> Step {
    let leg = &branch.payload;
    let Some(hold) = hold else {
        return Step::Breach("confirm without a try");
    };
    match hold.state {
        HoldState::Refused => return Step::Breach("confirm of a refused hold"),
        HoldState::Cancelled => return Step::Breach("confirm after cancel"),
        HoldState::CancelledBefore => return Step::Breach("confirm after a cancel before try"),
        HoldState::Reserved | HoldState::Confirmed => {}
    }
    if (hold.account, hold.amount) != (leg.account, leg.amount) {
        return Step::Breach("held before with another account or amount");
    }
    match (hold.state == HoldState::Reserved, entry) {
        (true, None) => Step::Book,
        (false, Some(_)) => Step::Done,
        (true, Some(_)) => Step::Breach("an entry exists, but its hold is still reserved"),
        (false, None) => Step::Breach("the hold is captured, but its entry is missing"),
    }
}

fn booking(branch: &AccountBranch) -> Booking {
    let leg = &branch.payload;
    let (delta, release) = match leg.kind {
        LegKind::Debit => (-leg.amount, leg.amount),
        LegKind::Credit => (leg.amount, 0),
    };
    Booking {
        key: key(branch),
        account: leg.account,
        delta,
        release,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AccountLeg;
    use saga::ShardId;
    use std::sync::Arc;

    const ACCOUNT: AccountId = AccountId::from_bytes([1; 16]);

    fn debit() -> AccountBranch {
        AccountBranch {
            xid: saga::Xid([7; 16]),
            number: 0,
            shard: ShardId(2),
            payload: AccountLeg {
                tenant: Arc::from("demo"),
                merchant: Arc::from("shop"),
                kind: LegKind::Debit,
                account: ACCOUNT,
                amount: 60,
                currency: "USD".parse().unwrap(),
                arrival: 0,
            },
        }
    }

    #[test]
    fn a_debit_is_booked_where_its_hold_is_reserved_and_its_entry_is_missing() {
        let booked = Entry {
            account: ACCOUNT,
            number: 1,
            delta: -60,
            balance_after: 40,
            booked_at: chrono::Utc::now(),
        };
        let step = |state, entry| {
            let hold = Hold {
                account: ACCOUNT,
                amount: 60,
                state,
                reason: None,
            };
            next_step(&debit(), Some(&hold), entry)
        };
        for (state, without, with) in [
            (
                HoldState::Reserved,
                Step::Book,
                Step::Breach("an entry exists, but its hold is still reserved"),
            ),
            (
                HoldState::Confirmed,
                Step::Breach("the hold is captured, but its entry is missing"),
                Step::Done,
            ),
        ] {
            assert_eq!(
                (step(state, None), step(state, Some(&booked))),
                (without, with)
            );
        }
        for (state, breach) in [
            (HoldState::Refused, "confirm of a refused hold"),
            (HoldState::Cancelled, "confirm after cancel"),
            (
                HoldState::CancelledBefore,
                "confirm after a cancel before try",
            ),
        ] {
            assert_eq!(step(state, None), Step::Breach(breach));
        }
        assert_eq!(
            next_step(&debit(), None, None),
            Step::Breach("confirm without a try")
        );
    }
}
