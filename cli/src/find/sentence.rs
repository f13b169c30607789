//! Where an order is and why, in one sentence or two: pure.

use super::evidence::{Answer, Evidence, LogEvidence};
use chrono::{DateTime, SecondsFormat, Utc};
use domain::{LegKind, Money, OrderState, Reason};
use store::OrderRow;

/// Whether the order was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// Somewhere.
    Yes,
    /// Nowhere, and everybody answered.
    No,
    /// Nowhere, and somebody did not answer.
    CannotTell,
}

/// What it all means.
pub fn sentence(evidence: &Evidence) -> (Found, String) {
    match &evidence.row {
        Answer::Known(row) => (
            Found::Yes,
            format!("{} {}", of_row(row), of_search(row, evidence)),
        ),
        Answer::Nothing => without_row(evidence),
        Answer::Silent(_) | Answer::NotAsked(_) => {
            let (found, rest) = without_row(evidence);
            let found = match found {
                Found::No => Found::CannotTell,
                found @ (Found::Yes | Found::CannotTell) => found,
            };
            (found, format!("Its order shard does not answer. {rest}"))
        }
    }
}

fn of_row(row: &OrderRow) -> String {
    let money = Money {
        minor_units: row.amount,
        currency: row.currency,
    };
    let when = time(row.updated_at);
    match row.state {
        OrderState::Paid => {
            let account = |kind| {
                let leg = row.legs.iter().find(|leg| leg.kind == kind);
                leg.map_or_else(|| "?".to_owned(), |leg| leg.account.to_string())
            };
            let (payer, payee) = (account(LegKind::Debit), account(LegKind::Credit));
            format!("Paid at {when}: {money} went from {payer} to {payee}.")
        }
        OrderState::Cancelled => {
            let why = row.reason.map_or("for no known reason", explain);
            format!("Cancelled at {when} because {why}; no money moved.")
        }
        OrderState::Trying => format!("In work: its money is being reserved. {}", next(row)),
        OrderState::Confirming => format!(
            "Decided: it will be paid, and its money is on the way. {}",
            next(row)
        ),
        OrderState::Cancelling => {
            let why = row.reason.map_or("for no known reason", explain);
            format!(
                "Decided: it will be cancelled because {why}, and what it reserved is being released. {}",
                next(row)
            )
        }
    }
}

fn explain(reason: Reason) -> &'static str {
    match reason {
        Reason::InsufficientFunds => "the payer's available balance was below the amount",
        Reason::AccountNotFound => "an account does not exist for this merchant",
        Reason::AccountClosed => "an account is closed",
        Reason::CurrencyMismatch => "an account is of another currency",
        Reason::Expired => "it was not tried or decided in time",
    }
}

fn next(row: &OrderRow) -> String {
    let due = row.next_attempt_at.map_or_else(
        || "No attempt is due, which must not be".to_owned(),
        |at| format!("A sweeper takes it over at {}", time(at)),
    );
    match (&row.last_cause, row.attempts) {
        (Some(cause), attempts) => {
            format!("{due}; after {attempts} attempts, the last failed with: {cause}.")
        }
        (None, 0) => format!("{due}, unless a consumer ends it before."),
        (None, attempts) => format!("{due}; it was attempted {attempts} times."),
    }
}

fn of_search(row: &OrderRow, evidence: &Evidence) -> String {
    match &evidence.document {
        Answer::Known(document) if document.version == row.version => {
            "Search shows the same.".to_owned()
        }
        Answer::Known(document) => format!(
            "Search still shows version {} ({}) of {}; {}.",
            document.version,
            document.status,
            row.version,
            freshness(evidence)
        ),
        Answer::Nothing => format!("Search does not have it yet; {}.", freshness(evidence)),
        Answer::Silent(_) => "Search does not answer.".to_owned(),
        Answer::NotAsked(why) => format!("Search was not asked: {why}."),
    }
}

fn freshness(evidence: &Evidence) -> String {
    match evidence.search_as_of {
        Some(as_of) => format!("it is as of {}", time(as_of)),
        None => "no follower has ever run".to_owned(),
    }
}

fn without_row(evidence: &Evidence) -> (Found, String) {
    if let Some(cause) = evidence
        .dead_letters
        .known()
        .and_then(|causes| causes.last())
    {
        return (
            Found::Yes,
            format!("It is a dead letter and was never tried: {cause}."),
        );
    }
    if let Some(log) = evidence.log.known()
        && let Some(record) = log.records.last()
    {
        return on_the_log(log, record.offset, evidence);
    }
    if evidence.document.known().is_some() {
        let text =
            "Search has a document of it, and the order store has no row: a breach of INV-6.";
        return (Found::Yes, text.to_owned());
    }
    if evidence.marker.known().is_some() {
        let text = "Redis says that Kafka has it, and it was not found there: look further back with --since.";
        return (Found::Yes, text.to_owned());
    }
    let silent = [
        (
            evidence.log.is_silent() || evidence.dead_letters.is_silent(),
            "Kafka",
        ),
        (evidence.marker.is_silent(), "Redis"),
        (evidence.document.is_silent(), "search"),
    ];
    let silent: Vec<&str> = silent
        .iter()
        .filter(|(is, _)| *is)
        .map(|(_, who)| *who)
        .collect();
    let cut = evidence.log.known().is_some_and(|log| !log.whole);
    if cut || !silent.is_empty() {
        let mut why = Vec::new();
        if !silent.is_empty() {
            why.push(format!("{} did not answer", silent.join(" and ")));
        }
        if cut {
            why.push("Kafka was not read to the end".to_owned());
        }
        let text = format!("Not found where we could look; {}.", why.join(", and "));
        return (Found::CannotTell, text);
    }
    (Found::No, "Nobody knows this order.".to_owned())
}

fn on_the_log(log: &LogEvidence, offset: i64, evidence: &Evidence) -> (Found, String) {
    let place = format!(
        "payment.commands partition {} offset {offset}",
        log.partition
    );
    if offset >= log.committed {
        let before = match offset - log.committed {
            0 => "it is the next that the consumers will deal with".to_owned(),
            before => format!("the consumers have {before} records to deal with before it"),
        };
        return (
            Found::Yes,
            format!("Accepted, and waiting on {place}: {before}."),
        );
    }
    if let Some((partition, offset)) = log.waiting {
        let text = format!(
            "Accepted, and waiting on payment.retry partition {partition} offset {offset} until its order shard takes it."
        );
        return (Found::Yes, text);
    }
    match (&evidence.row, &evidence.dead_letters) {
        (Answer::Nothing, Answer::Nothing) if log.whole => {
            let text = format!(
                "LOST: the consumers have passed {place}, and it has neither a row nor a dead letter. This is a breach of INV-7."
            );
            (Found::Yes, text)
        }
        (Answer::Nothing, _) => {
            let text = format!(
                "Accepted: the consumers have passed {place}, and it has no row. Kafka was not read to the end, so where it is now is not known."
            );
            (Found::CannotTell, text)
        }
        _ => (
            Found::Yes,
            format!("Accepted: the consumers have passed {place}."),
        ),
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka_log::Record;

    fn nothing() -> Evidence {
        Evidence {
            row: Answer::Nothing,
            accounts: Vec::new(),
            movements: Vec::new(),
            log: Answer::Known(log(&[])),
            dead_letters: Answer::Nothing,
            marker: Answer::Nothing,
            document: Answer::Nothing,
            search_as_of: None,
        }
    }

    fn log(offsets: &[i64]) -> LogEvidence {
        let record = |offset: &i64| Record {
            partition: 3,
            offset: *offset,
            key: String::new(),
            timestamp_ms: None,
            headers: Vec::new(),
        };
        LogEvidence {
            partition: 3,
            committed: 10,
            lag: 5,
            records: offsets.iter().map(record).collect(),
            whole: true,
            waiting: None,
        }
    }

    #[test]
    fn nobody_knows_it_only_when_everybody_answered() {
        assert_eq!(sentence(&nothing()).0, Found::No);
        let changes: [fn(&mut Evidence); 4] = [
            |e| e.row = Answer::Silent("down".into()),
            |e| e.log = Answer::Silent("down".into()),
            |e| e.marker = Answer::Silent("down".into()),
            |e| e.document = Answer::Silent("down".into()),
        ];
        for change in changes {
            let mut evidence = nothing();
            change(&mut evidence);
            assert_eq!(sentence(&evidence).0, Found::CannotTell, "{evidence:?}");
        }
    }

    #[test]
    fn a_record_that_the_consumers_have_not_reached_is_waiting() {
        let evidence = Evidence {
            log: Answer::Known(log(&[12])),
            ..nothing()
        };
        let (found, text) = sentence(&evidence);
        assert_eq!(found, Found::Yes);
        assert!(text.contains("waiting on payment.commands partition 3 offset 12"));
        assert!(text.contains("2 records"), "{text}");
    }

    #[test]
    fn a_record_passed_without_a_trace_is_lost() {
        let lost = Evidence {
            log: Answer::Known(log(&[7])),
            ..nothing()
        };
        assert!(sentence(&lost).1.starts_with("LOST"));
        let dead = Evidence {
            dead_letters: Answer::Known(vec!["bad field (bad-field)".into()]),
            ..lost.clone()
        };
        assert!(sentence(&dead).1.contains("dead letter"));
        let unknown = Evidence {
            row: Answer::Silent("down".into()),
            ..lost.clone()
        };
        assert!(!sentence(&unknown).1.contains("LOST"));
        let mut cut = log(&[7]);
        cut.whole = false;
        let cut = Evidence {
            log: Answer::Known(cut),
            ..lost.clone()
        };
        let silent = Evidence {
            dead_letters: Answer::Silent("down".into()),
            ..lost.clone()
        };
        for unknown in [cut, silent] {
            let (found, text) = sentence(&unknown);
            assert_eq!(found, Found::CannotTell);
            assert!(text.contains("not known"), "{text}");
        }
        let mut waiting = log(&[7]);
        waiting.waiting = Some((15, 90));
        let waiting = Evidence {
            log: Answer::Known(waiting),
            ..lost
        };
        assert!(
            sentence(&waiting)
                .1
                .contains("payment.retry partition 15 offset 90")
        );
    }
}
