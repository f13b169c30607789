//! What a statement in the binlog means for the transaction around it: pure.
//!
//! With row format there are only transaction brackets and schema changes. DML as text means that
//! some session writes statements, whose rows we would never see.

/// What a query event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Statement {
    /// Rows follow.
    Begin,
    /// Rows follow, their outcome comes in another transaction.
    XaBegin,
    /// The transaction ends here.
    End,
    /// The transaction ends here, and nothing of it stands.
    Rollback,
    /// A point that the transaction may go back to.
    Savepoint,
    /// The transaction goes back to a savepoint.
    RollbackTo,
    /// Part of the transaction that changes no row.
    Inside,
    /// A table made from a query: rows follow.
    CreateWithRows,
    /// A schema change, or anything else that is a transaction of its own.
    Alone,
    /// Rows change, and nobody says which.
    Dml,
    /// Rows vanish, and nobody says which.
    Removal,
}

/// Reads a statement's first words.
pub fn read(text: &str) -> Statement {
    let words: Vec<String> = without_comments(text)
        .split(|c: char| c.is_whitespace() || c == ';' || c == '(')
        .filter(|word| !word.is_empty())
        .take(3)
        .map(str::to_ascii_uppercase)
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["BEGIN", ..] | ["START", "TRANSACTION", ..] => Statement::Begin,
        ["XA", "START" | "BEGIN", ..] => Statement::XaBegin,
        ["XA", "END", ..] => Statement::Inside,
        // The end of a transaction whose rows came when it was prepared.
        ["XA", "COMMIT" | "ROLLBACK", ..] => Statement::End,
        ["COMMIT", ..] => Statement::End,
        ["ROLLBACK", "TO", ..] => Statement::RollbackTo,
        ["ROLLBACK", ..] => Statement::Rollback,
        ["SAVEPOINT", ..] => Statement::Savepoint,
        ["RELEASE", ..] => Statement::Inside,
        ["INSERT" | "UPDATE" | "DELETE" | "REPLACE" | "LOAD", ..] => Statement::Dml,
        ["TRUNCATE", ..] | ["DROP", "TABLE" | "DATABASE" | "SCHEMA", ..] => Statement::Removal,
        ["CREATE", "TABLE", ..] if ends_in_start_transaction(text) => Statement::CreateWithRows,
        _ => Statement::Alone,
    }
}

fn without_comments(text: &str) -> &str {
    let mut text = text.trim_start();
    while let Some(rest) = text
        .strip_prefix("/*")
        .filter(|rest| !rest.starts_with('!'))
    {
        text = rest
            .split_once("*/")
            .map_or("", |(_, after)| after)
            .trim_start();
    }
    text
}

/// `CREATE TABLE ... SELECT` is written as `CREATE TABLE ... START TRANSACTION` and its rows.
fn ends_in_start_transaction(text: &str) -> bool {
    let text = text.trim_end().trim_end_matches(';').trim_end();
    let tail = text.len().checked_sub("START TRANSACTION".len());
    tail.and_then(|at| text.get(at..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case("START TRANSACTION"))
}

/// The savepoint that a statement sets or goes back to. The server takes names without regard to
/// case.
pub fn savepoint_name(text: &str) -> String {
    let is_keyword = |word: &&str| {
        let keywords = ["SAVEPOINT", "ROLLBACK", "TO"];
        keywords
            .iter()
            .any(|known| known.eq_ignore_ascii_case(word))
    };
    let words = without_comments(text).split_whitespace();
    let name: Vec<&str> = words.skip_while(is_keyword).collect();
    name.join(" ").to_lowercase()
}

/// Whether a statement run in `schema` may touch `orders` of one of ours.
pub fn touches_orders<'a>(
    text: &str,
    schema: &str,
    mut ours: impl Iterator<Item = &'a str>,
) -> bool {
    let in_ours = ours.any(|name| schema == name || mentions(text, name));
    in_ours && (mentions(text, "orders") || drops_a_database(text))
}

fn mentions(text: &str, name: &str) -> bool {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    text.split(|c| !part_of_name(c)).any(|word| word == name)
}

fn drops_a_database(text: &str) -> bool {
    read(text) == Statement::Removal && !mentions(&text.to_ascii_uppercase(), "TABLE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_statement_is_known_by_its_first_words() {
        for (text, expected) in [
            ("BEGIN", Statement::Begin),
            ("XA START X'31',X'',1", Statement::XaBegin),
            ("XA END X'31',X'',1", Statement::Inside),
            ("XA COMMIT X'31',X'',1", Statement::End),
            ("XA ROLLBACK X'31',X'',1", Statement::End),
            ("COMMIT", Statement::End),
            ("ROLLBACK", Statement::Rollback),
            ("ROLLBACK TO `s`", Statement::RollbackTo),
            ("SAVEPOINT `s`", Statement::Savepoint),
            ("RELEASE SAVEPOINT `s`", Statement::Inside),
            ("/* who */ insert into orders values (1)", Statement::Dml),
            ("UPDATE orders SET amount = 1", Statement::Dml),
            ("truncate table orders", Statement::Removal),
            ("DROP DATABASE orders_0", Statement::Removal),
            (
                "DROP TABLE `orders` /* generated by server */",
                Statement::Removal,
            ),
            ("DROP INDEX i ON orders", Statement::Alone),
            (
                "CREATE TABLE t (a int) START TRANSACTION",
                Statement::CreateWithRows,
            ),
            ("CREATE TABLE t (a int)", Statement::Alone),
            ("ALTER TABLE orders ADD COLUMN x INT", Statement::Alone),
            ("GRANT SELECT ON *.* TO u", Statement::Alone),
            ("", Statement::Alone),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_savepoint_is_known_by_its_name() {
        for (text, name) in [
            ("SAVEPOINT `p`", "`p`"),
            ("ROLLBACK TO `p`", "`p`"),
            ("ROLLBACK TO SAVEPOINT `to be`", "`to be`"),
            ("SAVEPOINT", ""),
        ] {
            assert_eq!(savepoint_name(text), name, "{text}");
        }
    }

    #[test]
    fn a_statement_touches_orders_by_its_schema_or_by_name() {
        let touches = |text, schema| touches_orders(text, schema, ["shop_0"].into_iter());
        assert!(touches("DELETE FROM orders", "shop_0"));
        assert!(touches("DELETE FROM shop_0.orders", "other"));
        assert!(touches("DROP DATABASE shop_0", ""));
        assert!(!touches("DELETE FROM orders", "other"));
        assert!(!touches("DROP DATABASE shop_01", ""));
        assert!(!touches("DELETE FROM webhooks", "shop_0"));
    }
}
