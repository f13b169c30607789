//! `holdfast search dead-letters`: the changes that could not become documents, the newest first.

use cdc_sync::dead_letters::{KeptLetter, Sorting, page, refresh};
use cdc_sync::search_client::SearchClient;
use std::process::ExitCode;

/// Letters of one answer.
const PAGE: usize = 1_000;

/// How to list them.
#[derive(Debug, clap::Args)]
pub struct DeadLettersArgs {
    /// As JSON, with what was refused.
    #[arg(long)]
    json: bool,
    /// At most so many.
    #[arg(long, default_value_t = 100)]
    limit: usize,
}

/// Lists them.
pub async fn run(client: &SearchClient, args: &DeadLettersArgs) -> anyhow::Result<ExitCode> {
    refresh(client).await?;
    // One more tells whether there are more.
    let mut letters = newest(client, args.limit.saturating_add(1)).await?;
    let are_more = letters.len() > args.limit;
    letters.truncate(args.limit);
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&letters)?),
        false => print!("{}", listed(&letters)),
    }
    if are_more {
        eprintln!("There are more than {}: see --limit.", args.limit);
    }
    Ok(ExitCode::SUCCESS)
}

async fn newest(client: &SearchClient, limit: usize) -> anyhow::Result<Vec<KeptLetter>> {
    let (mut letters, mut after) = (Vec::new(), None);
    while letters.len() < limit {
        let size = PAGE.min(limit - letters.len());
        let (found, next) = page(client, &[], Sorting::Newest, after.as_ref(), size).await?;
        letters.extend(found);
        match next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    Ok(letters)
}

fn listed(letters: &[KeptLetter]) -> String {
    if letters.is_empty() {
        return "Search has no dead letters.\n".to_owned();
    }
    let line = |letter: &KeptLetter| {
        let KeptLetter {
            order_id,
            shard,
            version,
            reason,
            failed_at,
            ..
        } = letter;
        format!("{failed_at}  {order_id}  {shard} version {version}: {reason}\n")
    };
    let lines: String = letters.iter().map(line).collect();
    format!("{lines}Mend their causes, then: holdfast search redrive --all\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_which_when_and_why() {
        let letter: KeptLetter = serde_json::from_value(serde_json::json!({
            "order_id": format!("ord_{}", "ab".repeat(16)), "shard": "orders-0", "version": "3",
            "reason": "too long", "failed_at": "2026-11-21T09:05:07Z",
        }))
        .unwrap();
        let said = listed(&[letter]);
        assert!(
            said.starts_with("2026-11-21T09:05:07Z  ord_abab")
                && said.contains("  orders-0 version 3: too long\n"),
            "{said}"
        );
        assert!(listed(&[]).contains("no dead letters"));
    }
}
