//! What must hold in every state of the protocol's model, and what must be reached in some.

use super::protocol::Protocol;
use super::rows::{BranchRows, Leg};
use super::world::World;
use crate::fence::Fence;
use crate::{Outcome, Reason, State, Verdict};
use stateright::Property;

pub(super) const ALL_OR_NOTHING: &str = "no branch is confirmed and another cancelled";
pub(super) const AS_DECIDED: &str = "branches are finished only as the log decided";
pub(super) const ENDED_WHOLE: &str = "it ended only when every branch is finished accordingly";
pub(super) const DECIDED_ONCE: &str = "a decision is never reversed";
pub(super) const CANCEL_LASTS: &str = "no hold comes after its cancel";
pub(super) const MONEY: &str = "money is where fences and entries say, and its sum is kept";
pub(super) const NO_ALARM: &str = "nobody is called";
pub(super) const TRUE_ANSWERS: &str = "what is answered is true";
pub(super) const RECOVERS: &str = "whoever comes next can end it";

/// All of them.
pub(super) fn all() -> Vec<Property<Protocol>> {
    let second = |_: &Protocol, world: &World| world.seen.second;
    let tombstone = |_: &Protocol, world: &World| {
        let is_tombstone = |rows: &BranchRows| rows.fence == Some(Fence::CancelledBeforeTry);
        world.outcome() == Some(Outcome::Cancelled) && world.branches.iter().any(is_tombstone)
    };
    vec![
        Property::always(ALL_OR_NOTHING, all_or_nothing),
        Property::always(AS_DECIDED, as_decided),
        Property::always(ENDED_WHOLE, ended_whole),
        Property::always(DECIDED_ONCE, decided_once),
        Property::always(CANCEL_LASTS, cancel_lasts),
        Property::always(MONEY, money),
        Property::always(NO_ALARM, |_, world: &World| world.seen.alarm.is_none()),
        Property::always(TRUE_ANSWERS, |_, world: &World| world.seen.untrue.is_none()),
        Property::always(RECOVERS, Protocol::is_ended_by_whoever_comes_next),
        Property::sometimes("it is paid", |_, world: &World| {
            world.outcome() == Some(Outcome::Confirmed)
        }),
        Property::sometimes("it is paid late", |_, world: &World| {
            world.is_late && world.outcome() == Some(Outcome::Confirmed)
        }),
        Property::sometimes("it is cancelled for lack of funds", |_, world: &World| {
            ended_for(world, super::rows::SHORT)
        }),
        Property::sometimes("it is cancelled for its time", |_, world: &World| {
            ended_for(world, super::rows::LATE)
        }),
        Property::sometimes("it ends with a tombstone", tombstone),
        Property::sometimes("somebody decides second", second),
    ]
}

fn ended_for(world: &World, reason: Reason) -> bool {
    world.outcome() == Some(Outcome::Cancelled)
        && world.row.is_some_and(|row| row.reason == Some(reason))
}

fn rows<'a>(model: &Protocol, world: &'a World) -> &'a [BranchRows] {
    &world.branches[..model.legs.len()]
}

fn all_or_nothing(model: &Protocol, world: &World) -> bool {
    let rows = rows(model, world);
    !(rows.iter().any(BranchRows::is_confirmed) && rows.iter().any(BranchRows::is_cancelled))
}

fn as_decided(model: &Protocol, world: &World) -> bool {
    let rows = rows(model, world);
    let (confirms, cancels) = match world.row.map(|row| row.state) {
        Some(State::Confirming | State::Confirmed) => (true, false),
        Some(State::Cancelling | State::Cancelled) => (false, true),
        Some(State::Trying) | None => (false, false),
    };
    (confirms || !rows.iter().any(BranchRows::is_confirmed))
        && (cancels || !rows.iter().any(BranchRows::is_cancelled))
}

fn ended_whole(model: &Protocol, world: &World) -> bool {
    let mut branches = rows(model, world).iter().zip(&model.legs);
    match world.outcome() {
        None => true,
        Some(Outcome::Confirmed) => branches.all(|(rows, _)| rows.is_confirmed()),
        Some(Outcome::Cancelled) => branches.all(|(rows, leg)| match leg {
            Leg::Credit(_) => rows.entries == 0,
            Leg::Debit(_) => match rows.fence {
                Some(Fence::Refused(_) | Fence::Cancelled | Fence::CancelledBeforeTry) => true,
                Some(Fence::Reserved | Fence::Confirmed) | None => false,
            },
        }),
    }
}

fn decided_once(_: &Protocol, world: &World) -> bool {
    let stands = match world.row.map(|row| (row.state, row.reason)) {
        Some((State::Confirming | State::Confirmed, None)) => Some(Verdict::Confirm),
        Some((State::Cancelling | State::Cancelled, Some(reason))) => Some(Verdict::Cancel(reason)),
        Some((State::Trying, None)) | None => None,
        Some((_, Some(_) | None)) => return false,
    };
    stands == world.seen.decision
}

fn cancel_lasts(model: &Protocol, world: &World) -> bool {
    let mut branches = rows(model, world).iter().zip(world.seen.cancelled);
    branches.all(|(rows, cancelled)| {
        !cancelled || (rows.fence != Some(Fence::Reserved) && !rows.is_confirmed())
    })
}

fn money(model: &Protocol, world: &World) -> bool {
    let branches = || rows(model, world).iter().zip(&model.legs);
    let spent = |leg: &Leg, rows: &BranchRows| {
        match leg {
            // Spent elsewhere or not: either way it is the rest that must agree.
            Leg::Debit(amount) => [0, *amount].map(|spent| amount - spent),
            Leg::Credit(_) => [0, 0],
        }
        .into_iter()
        .any(|balance| rows.agree(*leg, balance) && rows.available() >= 0)
    };
    let sum = |world: &World| {
        let balances = rows(model, world).iter().map(|rows| rows.balance);
        balances.sum::<i8>() + world.elsewhere
    };
    let on_the_way: i8 = branches()
        .filter(|(rows, _)| rows.is_confirmed())
        .map(|(_, leg)| match leg {
            Leg::Debit(amount) => *amount,
            Leg::Credit(amount) => -amount,
        })
        .sum();
    branches().all(|(rows, leg)| spent(leg, rows))
        && sum(world) + on_the_way == sum(&World::new(&model.legs))
}
