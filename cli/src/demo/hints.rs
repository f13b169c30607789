//! What to try next: lines that work when pasted into a shell.

use crate::environment::Environment;
use domain::{AccountId, OrderId};
use std::path::Path;

/// Minor units of the order that the hints suggest.
pub const AMOUNT: i64 = 499;

/// The lines for a run that went right.
pub fn hints(
    environment: &Environment,
    merchant: &str,
    payer: Option<AccountId>,
    shop: AccountId,
    order: Option<&OrderId>,
) -> anyhow::Result<String> {
    let folder = shown(environment.folder()?);
    let mut text = format!(
        r#"
The stack stays up. What to try next:

  . {folder}/stack.env
  TOKEN=$({folder}/bin/holdfast token --merchant {merchant})
  curl -s -H "Authorization: Bearer $TOKEN" "$HOLDFAST_API_URL/v1/search/orders?reason=account_closed&limit=3"
  curl -s -H "Authorization: Bearer $TOKEN" "$HOLDFAST_API_URL/v1/search/orders/summary?by=status"
"#
    );
    if let Some(payer) = payer {
        let body =
            format!(r#"{{"payer":"{payer}","payee":"{shop}","amount":{AMOUNT},"currency":"USD"}}"#);
        text.push_str(&format!(
            r#"  curl -si -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -H "Prefer: wait=5" \
    -H "Idempotency-Key: one-more" -d '{body}' "$HOLDFAST_API_URL/v1/orders"
"#
        ));
    }
    if let Some(order) = order {
        text.push_str(&format!(
            r#"  curl -s -H "Authorization: Bearer $TOKEN" "$HOLDFAST_API_URL/v1/orders/{order}"
  {folder}/bin/holdfast find {order}
"#
        ));
    }
    text.push_str(&format!(
        r"  {folder}/bin/holdfast verify
  {folder}/bin/holdfast reconcile
  {folder}/bin/holdfast-stack kill consumer    # in the middle of another `make demo`
  {folder}/bin/holdfast-stack start consumer
  make down
"
    ));
    Ok(text)
}

/// `.local` where that is the folder as seen from here.
fn shown(folder: &Path) -> String {
    let here = Path::new(".local");
    let same = here
        .canonicalize()
        .is_ok_and(|here| folder.canonicalize().is_ok_and(|folder| folder == here));
    if same { here } else { folder }.display().to_string()
}
