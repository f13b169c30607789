//! The demo's end: the index is made anew while it is in use, then everything is compared, and last the
//! audit trail is followed.

use crate::audit::check_all;
use crate::reconcile::compare_all;
use crate::search::rebuild::{ended, progress};
use crate::settings::Settings;
use cdc_sync::rebuild::record::{self, Phase, Rebuild};
use cdc_sync::rebuild::request;
use cdc_sync::search_client::SearchClient;
use std::time::Duration;

/// How long a rebuild may take here.
const PATIENCE: Duration = Duration::from_secs(300);

/// Makes the index anew, goes over to it and back again, and removes it, so that the stack is left as
/// it was found; answers what went wrong, if anything did.
pub async fn rebuild(settings: &Settings) -> Option<String> {
    println!("Making the search index anew while it is in use.");
    let rebuilt = tokio::time::timeout(PATIENCE, try_rebuild(settings)).await;
    match rebuilt {
        Ok(Ok(problem)) => problem,
        Ok(Err(error)) => Some(format!("the index made anew: {error:#}")),
        Err(_) => Some("the index made anew: that takes too long".to_owned()),
    }
}

async fn try_rebuild(settings: &Settings) -> anyhow::Result<Option<String>> {
    let client = SearchClient::new(&settings.search)?;
    let known = record::load(&client).await?;
    if let Some(known) = known.filter(|known| known.document.phase != Phase::Done) {
        // Somebody is at it.
        println!("  not made: {}", progress(&known.document));
        return Ok(None);
    }
    request::rebuild(&client, false).await?;
    let rebuilt = ended(&client).await?;
    if rebuilt.phase != Phase::Switched {
        let differences = rebuilt.differences.join("; ");
        return Ok(Some(format!("{}: {differences}", progress(&rebuilt))));
    }
    let Rebuild { from, to, rows, .. } = rebuilt;
    println!("  Searches went over to {to}, with {rows} orders, the same as in {from}.");
    request::switch_back(&client).await?;
    ended(&client).await?;
    request::discard(&client).await?;
    let left = ended(&client).await?;
    if (left.phase, &left.to) != (Phase::Done, &from) {
        return Ok(Some(progress(&left)));
    }
    println!("  They went back to {from}, and {to} is removed.");
    Ok(None)
}

/// Compares orders, ledger and search; answers what differs, if anything does.
pub async fn reconcile(settings: &Settings) -> Option<String> {
    println!("Comparing all there is, order by order.");
    match compare_all(settings).await {
        Ok(findings) if findings.count() > 0 => Some(findings.to_string()),
        Ok(findings) => {
            let (orders, seconds) = (findings.orders, findings.seconds);
            println!(
                "  {}: {orders} orders in {seconds:.1} s.",
                findings.verdict()
            );
            None
        }
        Err(error) => Some(format!("nothing could be compared: {error:#}")),
    }
}

/// Follows the audit trail; answers what is wrong with it, if anything is.
pub async fn audit(settings: &Settings) -> Option<String> {
    match check_all(settings, &[]).await {
        Ok(findings) => {
            println!("  {}.", findings.line());
            findings.problem()
        }
        Err(error) => Some(format!("the audit trail: {error:#}")),
    }
}
