//! The demo's end: the index is made anew while it is in use, and then everything is compared.

use crate::reconcile::compare_all;
use crate::search::rebuild::{ended, progress};
use crate::settings::Settings;
use cdc_sync::rebuild::record::{Phase, Rebuild};
use cdc_sync::rebuild::request::{self, RequestError};
use cdc_sync::search_client::SearchClient;

/// Makes the index anew, goes over to it and back again, and removes it, so that the stack is left as
/// it was found; answers what went wrong, if anything did. Where an earlier index is kept beside,
/// somebody may want to go back to it, and nothing is made.
pub async fn rebuild(settings: &Settings) -> anyhow::Result<Option<String>> {
    let client = SearchClient::new(&settings.search)?;
    println!("Making the search index anew while it is in use.");
    match request::rebuild(&client, false).await {
        Ok(_) => {}
        Err(RequestError::Refused(why)) => {
            println!("  not made: {why}");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    }
    let rebuilt = ended(&client).await?;
    if rebuilt.phase != Phase::Switched {
        let differences = rebuilt.differences.join("; ");
        let is = progress(&rebuilt);
        return Ok(Some(format!("the index made anew: {is}: {differences}")));
    }
    let Rebuild { from, to, rows, .. } = rebuilt;
    println!("  Searches went over to {to}, with {rows} orders, the same as in {from}.");
    request::switch_back(&client).await?;
    ended(&client).await?;
    request::discard(&client).await?;
    ended(&client).await?;
    println!("  They went back to {from}, and {to} is removed.");
    Ok(None)
}

/// Compares orders, ledger and search; answers what differs, if anything does.
pub async fn reconcile(settings: &Settings) -> anyhow::Result<Option<String>> {
    println!("Comparing orders, ledger and search, order by order.");
    let findings = compare_all(settings).await?;
    if findings.count() > 0 {
        return Ok(Some(format!(
            "orders, ledger and search differ:\n{findings}"
        )));
    }
    println!(
        "  {} orders in {:.1} s: all agree.",
        findings.orders, findings.seconds
    );
    Ok(None)
}
