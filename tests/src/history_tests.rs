//! Tests of the judge: it must find every broken promise, and nothing where none is broken.

use super::*;

fn asked(amount: i64) -> Asked {
    Asked {
        payer: "acct_a".into(),
        payee: "acct_b".into(),
        amount,
    }
}

fn attempt(key: &str, told: Told) -> Attempt {
    Attempt {
        key: key.into(),
        asked: asked(5),
        told,
    }
}

fn accepted(key: &str) -> Attempt {
    let told = Told::Accepted {
        id: id_of(key),
        status: "processing".into(),
    };
    attempt(key, told)
}

fn id_of(key: &str) -> String {
    format!("ord_{key}")
}

fn paid() -> OrderFacts {
    OrderFacts {
        rows: 1,
        version: 2,
        state: PAID,
        reason: 0,
        amount: 5,
        entries: entries_of(&asked(5)),
        open_holds: 0,
    }
}

fn judged(attempts: &[Attempt], orders: &[(&str, OrderFacts)]) -> Figures {
    let facts = orders
        .iter()
        .map(|(key, order)| (id_of(key), order.clone()))
        .collect();
    judge(attempts, &facts, id_of)
}

#[test]
fn an_accepted_order_that_was_paid_breaks_no_promise() {
    let figures = judged(&[accepted("k"), accepted("k")], &[("k", paid())]);
    assert_eq!((figures.accepted, figures.paid, figures.moved), (1, 1, 5));
    assert_eq!(figures.breaches().count(), 0, "{figures:?}");
}

#[test]
fn an_accepted_order_that_is_not_there_or_not_ended_is_lost() {
    let open = OrderFacts { state: 2, ..paid() };
    assert_eq!(judged(&[accepted("k")], &[]).lost.len(), 1);
    assert_eq!(judged(&[accepted("k")], &[("k", open)]).lost.len(), 1);
}

#[test]
fn two_rows_or_four_entries_or_none_of_a_paid_order_are_found() {
    let twice = OrderFacts { rows: 2, ..paid() };
    let four = OrderFacts {
        entries: [paid().entries, paid().entries].concat(),
        ..paid()
    };
    let none = OrderFacts {
        entries: Vec::new(),
        ..paid()
    };
    let held = OrderFacts {
        open_holds: 1,
        ..paid()
    };
    for order in [twice, four, none, held] {
        let figures = judged(&[accepted("k")], &[("k", order)]);
        assert_eq!(figures.doubled.len(), 1, "{figures:?}");
    }
}

#[test]
fn a_cancelled_order_that_moved_money_is_found() {
    let order = OrderFacts {
        state: CANCELLED,
        ..paid()
    };
    assert_eq!(judged(&[accepted("k")], &[("k", order)]).doubled.len(), 1);
}

#[test]
fn what_was_refused_every_time_must_not_be_there() {
    let refused = [
        attempt("k", Told::NotEnqueued),
        attempt("k", Told::NotEnqueued),
    ];
    assert_eq!(judged(&refused, &[("k", paid())]).untrue.len(), 1);
    assert_eq!(judged(&refused, &[]).breaches().count(), 0);
}

#[test]
fn what_was_refused_and_later_accepted_may_be_there() {
    let attempts = [attempt("k", Told::NotEnqueued), accepted("k")];
    assert_eq!(judged(&attempts, &[("k", paid())]).breaches().count(), 0);
}

#[test]
fn what_got_no_answer_may_be_either() {
    for told in [Told::NoAnswer, Told::OutcomeUnknown] {
        let attempts = [attempt("k", told)];
        assert_eq!(judged(&attempts, &[]).breaches().count(), 0);
        let figures = judged(&attempts, &[("k", paid())]);
        assert_eq!(figures.breaches().count(), 0, "{figures:?}");
        assert_eq!((figures.unknown, figures.paid), (1, 1));
    }
}

#[test]
fn one_key_names_one_order() {
    let other = Told::Accepted {
        id: "ord_other".into(),
        status: "processing".into(),
    };
    let attempts = [accepted("k"), attempt("k", other)];
    assert_eq!(judged(&attempts, &[("k", paid())]).mistaken.len(), 1);
}

#[test]
fn the_body_that_was_refused_must_not_be_the_one_that_stands() {
    let refused = Attempt {
        asked: asked(7),
        ..attempt("k", Told::OtherBodyStands)
    };
    let stands = OrderFacts {
        amount: 7,
        entries: entries_of(&asked(7)),
        ..paid()
    };
    let attempts = [accepted("k"), refused];
    assert_eq!(judged(&attempts, &[("k", paid())]).breaches().count(), 0);
    assert!(!judged(&attempts, &[("k", stands)]).mistaken.is_empty());
}

#[test]
fn the_body_that_stands_is_never_taken_for_another() {
    let attempts = [accepted("k"), attempt("k", Told::OtherBodyStands)];
    assert_eq!(judged(&attempts, &[("k", paid())]).mistaken.len(), 1);
}

#[test]
fn an_outcome_that_was_told_is_the_outcome() {
    let told = Told::Accepted {
        id: id_of("k"),
        status: "cancelled".into(),
    };
    let figures = judged(&[attempt("k", told)], &[("k", paid())]);
    assert_eq!(figures.mistaken.len(), 1);
}

#[test]
fn an_order_that_nobody_asked_for_is_found() {
    assert_eq!(judged(&[], &[("k", paid())]).doubled.len(), 1);
}
