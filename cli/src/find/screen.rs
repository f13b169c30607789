//! One screen about one order.

use super::evidence::{Answer, Evidence, LogEvidence};
use crate::kafka_log::Record;
use chrono::{DateTime, SecondsFormat, Utc};
use domain::{AccountId, AccountStatus, LegKind, Money, OrderId};
use std::fmt::Write;
use store::{Account, OrderRow};

const LABEL: usize = 12;
/// More than this many lines of one kind are told by their number.
const LINES_MAX: usize = 6;

/// The screen, after its sentence.
pub fn screen(id: OrderId, sentence: &str, evidence: &Evidence) -> String {
    let mut screen = Screen(format!("{id}\n{sentence}\n\n"));
    screen.row(&evidence.row);
    for (account, answer) in &evidence.accounts {
        screen.account(*account, answer);
    }
    for (shard, answer) in &evidence.movements {
        screen.lines(shard, answer, "no hold or entry of it", |line| line.clone());
    }
    screen.log(&evidence.log);
    screen.lines(
        "dead letters",
        &evidence.dead_letters,
        "none",
        String::clone,
    );
    let marker = text_of(
        &evidence.marker,
        |()| "has the marker".to_owned(),
        "no marker",
    );
    screen.line("redis", &marker);
    let document = text_of(
        &evidence.document,
        |document| {
            let reason = document.reason.as_deref().unwrap_or("no reason");
            format!(
                "version {}, {}, {reason}",
                document.version, document.status
            )
        },
        "no document",
    );
    let as_of = evidence
        .search_as_of
        .map(|at| format!(", as of {}", time(at)));
    screen.line("search", &(document + &as_of.unwrap_or_default()));
    screen.0
}

struct Screen(String);

impl Screen {
    fn line(&mut self, label: &str, text: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "  {label:<LABEL$}  {text}");
    }

    fn lines<T>(
        &mut self,
        label: &str,
        answer: &Answer<Vec<T>>,
        nothing: &str,
        show: impl Fn(&T) -> String,
    ) {
        let Some(all) = answer.known().filter(|all| !all.is_empty()) else {
            return self.line(label, &text_of(answer, |_| nothing.to_owned(), nothing));
        };
        for (place, one) in all.iter().take(LINES_MAX).enumerate() {
            self.line(if place == 0 { label } else { "" }, &show(one));
        }
        if all.len() > LINES_MAX {
            self.line("", &format!("and {} more", all.len() - LINES_MAX));
        }
    }

    fn row(&mut self, answer: &Answer<OrderRow>) {
        let Some(row) = answer.known() else {
            return self.line("order", &text_of(answer, |_| String::new(), "no row"));
        };
        let money = Money {
            minor_units: row.amount,
            currency: row.currency,
        };
        let reason = row.reason.map_or("no reason", |reason| reason.as_str());
        self.line(
            "order",
            &format!(
                "{:?}, {reason}, {money}, version {}",
                row.state, row.version
            ),
        );
        let reference = row.reference.as_deref().unwrap_or("none");
        self.line(
            "",
            &format!("{} of {}, reference {reference}", row.merchant, row.tenant),
        );
        self.line(
            "",
            &format!(
                "accepted {}, row made {}, last changed {}",
                time(row.accepted_at),
                time(row.created_at),
                time(row.updated_at)
            ),
        );
        let next = row.next_attempt_at.map_or_else(|| "none".to_owned(), time);
        let cause = row.last_cause.as_deref().unwrap_or("none");
        self.line(
            "",
            &format!("attempts {}, next {next}, last cause {cause}", row.attempts),
        );
        for (number, leg) in row.legs.iter().enumerate() {
            let way = match leg.kind {
                LegKind::Debit => "debit",
                LegKind::Credit => "credit",
            };
            let label = format!("leg {number}");
            self.line(&label, &format!("{way} {} of {}", leg.amount, leg.account));
        }
    }

    fn account(&mut self, id: AccountId, answer: &Answer<Account>) {
        let show = |account: &Account| {
            let money = |minor_units| {
                Money {
                    minor_units,
                    currency: account.currency,
                }
                .to_string()
            };
            let status = match account.status {
                AccountStatus::Open => "open",
                AccountStatus::Closed => "closed",
            };
            format!(
                "{id} {status}, balance {}, held {}",
                money(account.ledger_balance),
                money(account.held)
            )
        };
        let text = match answer {
            Answer::Known(account) => show(account),
            Answer::Nothing | Answer::Silent(_) | Answer::NotAsked(_) => {
                format!("{id} {}", text_of(answer, show, "does not exist"))
            }
        };
        self.line("account", &text);
    }

    fn log(&mut self, answer: &Answer<LogEvidence>) {
        let Some(log) = answer.known() else {
            return self.line(
                "kafka",
                &text_of(answer, |_| String::new(), "no such topic"),
            );
        };
        let (partition, committed, lag) = (log.partition, log.committed, log.lag);
        self.line(
            "kafka",
            &format!("partition {partition}, committed to offset {committed}, {lag} records to do"),
        );
        let found: Vec<String> = log.records.iter().map(of_record).collect();
        let found = if found.is_empty() {
            "no record of it".to_owned()
        } else {
            found.join(", ")
        };
        let whole = if log.whole { "" } else { " (not all was read)" };
        self.line("", &format!("{found}{whole}"));
        if let Some((partition, offset)) = log.waiting {
            self.line(
                "",
                &format!("waiting on payment.retry partition {partition}, offset {offset}"),
            );
        }
    }
}

fn of_record(record: &Record) -> String {
    let written = record
        .timestamp_ms
        .and_then(DateTime::from_timestamp_millis);
    let written = written.map_or_else(String::new, |at| format!(" written {}", time(at)));
    format!("record at offset {}{written}", record.offset)
}

fn text_of<T>(answer: &Answer<T>, show: impl Fn(&T) -> String, nothing: &str) -> String {
    match answer {
        Answer::Known(known) => show(known),
        Answer::Nothing => nothing.to_owned(),
        Answer::Silent(cause) => format!("DOES NOT ANSWER: {cause}"),
        Answer::NotAsked(why) => format!("not asked: {why}"),
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}
