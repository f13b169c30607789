//! What would unstick an order, in one sentence, from what is known of it: pure.
//!
//! The engine writes causes in four forms: `accounts-1 does not answer`; `confirm on accounts-1:
//! transient: ...` with what the database said; the same with `definite:`; and sentences of its own
//! about rows that contradict each other.

use crate::open_orders::{Down, Look};
use chrono::TimeDelta;
use domain::ShardName;
use store::OpenOrder;

/// A sweeper that is well takes a due order within its idle time, a second by default.
const UNTAKEN_MAX: TimeDelta = TimeDelta::seconds(60);

/// What would unstick this order, whose branches are on these shards.
pub fn remedy(order: &OpenOrder, look: Look, branches: &[ShardName], down: &Down) -> String {
    let again = format!("`holdfast redrive {} --yes` tries it at once", order.id);
    if let Some(shard) = branches.iter().find(|shard| down.contains_key(shard)) {
        return format!("{shard} does not answer: bring it back, and it goes on by itself");
    }
    if order.read_at - order.next_attempt_at > UNTAKEN_MAX {
        return "no sweeper takes it: start a consumer, and it goes on by itself".to_owned();
    }
    let Some(cause) = &order.last_cause else {
        return match look {
            Look::Stuck => format!(
                "each attempt ended before it could say why: look at the consumers' logs; {again}"
            ),
            Look::Overdue | Look::Due | Look::InWork => {
                format!("nothing is known to be in its way; {again}")
            }
        };
    };
    match obstacle(cause) {
        Obstacle::Silent => format!(
            "its shards answer now: {again}; should it fail again, the consumers' log tells what \
             the shard refuses"
        ),
        Obstacle::Said(shard, trouble) => match trouble {
            Trouble::Locked => format!(
                "somebody keeps rows of {shard} locked: end that session (SHOW PROCESSLIST there), \
                 and it goes on by itself; {again}"
            ),
            Trouble::Denied => format!(
                "{shard} denies our user the statement: grant it again, and it goes on by itself; \
                 {again}"
            ),
            Trouble::Lost => format!("{shard} answers now: {again}"),
            Trouble::Other => format!("mend what {shard} says, and it goes on by itself; {again}"),
        },
        Obstacle::Refused(shard) => format!(
            "a person has to look: {shard} refuses the statement for what it says \
             (`holdfast find {}`)",
            order.id
        ),
        Obstacle::Contradiction => format!(
            "a person has to look at the hold and the entries of {0}: the log and the branches \
             disagree (`holdfast find {0}`); nothing moves until then",
            order.id
        ),
        Obstacle::Passing => format!("it goes on by itself; {again}"),
    }
}

/// What stood in the way of the last attempt.
#[derive(Debug, PartialEq, Eq)]
enum Obstacle<'a> {
    /// A shard did not answer.
    Silent,
    /// This shard said something that may pass.
    Said(&'a str, Trouble),
    /// This shard will say the same each time.
    Refused(&'a str),
    /// Rows contradict each other.
    Contradiction,
    /// Only bad timing.
    Passing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    Locked,
    Denied,
    Lost,
    Other,
}

fn obstacle(cause: &str) -> Obstacle<'_> {
    if cause.ends_with(" does not answer") {
        return Obstacle::Silent;
    }
    // What the engine says of its own runs, not of rows.
    if cause.starts_with("left in ") || cause.contains("ran out meanwhile") || cause == "no answer"
    {
        return Obstacle::Passing;
    }
    let said = cause.split_once(": ").and_then(|(head, said)| {
        let (_, shard) = head.split_once(" on ")?;
        Some((shard, said))
    });
    match said {
        Some((shard, said)) if said.starts_with("definite: ") => Obstacle::Refused(shard),
        Some((shard, said)) if said.starts_with("transient: ") => {
            Obstacle::Said(shard, trouble(said))
        }
        // A duplicate or a set that was changed by somebody else.
        Some((_, said)) if said.starts_with("duplicate: ") || said.starts_with("only ") => {
            Obstacle::Passing
        }
        Some(_) | None => Obstacle::Contradiction,
    }
}

fn trouble(said: &str) -> Trouble {
    match error_number(said) {
        // A lock time-out and its like, on MySQL and MariaDB.
        Some(1205 | 1213 | 3058 | 3572) => Trouble::Locked,
        Some(1044 | 1045 | 1142 | 1143 | 1227 | 1370 | 1698) => Trouble::Denied,
        Some(_) => Trouble::Other,
        // The connection's trouble, not the database's.
        None => Trouble::Lost,
    }
}

fn error_number(said: &str) -> Option<u16> {
    let (_, said) = said.split_once("error returned from database: ")?;
    said.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open_orders::samples::order;
    use domain::StoreKind;

    const SHARD: ShardName = ShardName {
        store: StoreKind::Accounts,
        index: 1,
    };

    fn of_cause(cause: &str, down: &Down) -> String {
        let order = OpenOrder {
            last_cause: Some(cause.to_owned()),
            attempts: 30,
            ..order()
        };
        remedy(&order, Look::Stuck, &[SHARD], down)
    }

    #[test]
    fn a_shard_that_does_not_answer_now_comes_before_any_cause() {
        let down = Down::from([(SHARD, "connection refused".to_owned())]);
        let text = of_cause("confirm after cancel", &down);
        assert!(
            text.starts_with("accounts-1 does not answer: bring it back"),
            "{text}"
        );
        let text = of_cause("accounts-1 does not answer", &Down::new());
        assert!(
            text.contains("answer now") && text.contains("redrive ord_"),
            "{text}"
        );
    }

    #[test]
    fn each_form_of_cause_has_its_remedy() {
        let cases = [
            (
                "confirm on accounts-1: transient: error returned from database: 1205 (HY000): \
                 Lock wait timeout exceeded; try restarting transaction",
                "keeps rows of accounts-1 locked",
            ),
            (
                "confirm on accounts-1: transient: error returned from database: 1142 (42000): \
                 INSERT command denied to user 'x'@'localhost' for table 'entries'",
                "accounts-1 denies our user",
            ),
            (
                "try on accounts-1: transient: error returned from database: 1114 (HY000): \
                 The table 'holds' is full",
                "mend what accounts-1 says",
            ),
            (
                "confirm on accounts-1: definite: error returned from database: 1264 (22003)",
                "a person has to look: accounts-1 refuses",
            ),
            ("confirm after cancel", "the log and the branches disagree"),
            (
                "the log says Cancelling, the branches say Reserved",
                "a person has to look",
            ),
            ("left in Finish", "by itself"),
        ];
        for (cause, remedy) in cases {
            let text = of_cause(cause, &Down::new());
            assert!(text.contains(remedy), "{cause}: {text}");
        }
    }

    #[test]
    fn an_order_that_nobody_takes_lacks_a_consumer() {
        let order = OpenOrder {
            next_attempt_at: order().read_at - TimeDelta::seconds(61),
            ..order()
        };
        let text = remedy(&order, Look::Due, &[SHARD], &Down::new());
        assert!(text.contains("start a consumer"), "{text}");
    }
}
