//! Orders as HTTP requests.

use anyhow::Result;
use hyper::StatusCode;
use rand::Rng;

use crate::accounts::Transfer;
use crate::http_client::{Answer, Connection};
use crate::load::CURRENCY;

/// Where orders are posted.
pub const PATH: &str = "/v1/orders";

/// The body of an order for this transfer.
pub fn body(transfer: &Transfer, reference: &str) -> String {
    let Transfer {
        payer,
        payee,
        amount,
    } = transfer;
    format!(
        r#"{{"payer":"{payer}","payee":"{payee}","amount":{amount},"currency":"{CURRENCY}","reference":"{reference}","description":"Order of the bench"}}"#
    )
}

/// A key that nobody has used.
pub fn new_key(rng: &mut impl Rng) -> String {
    format!("{:032x}", rng.random::<u128>())
}

/// Posts an order under a new key and waits for the 202.
pub async fn accept(
    connection: &mut Connection,
    transfer: &Transfer,
    reference: &str,
) -> Result<Answer> {
    let key = new_key(&mut rand::rng());
    let headers = [("idempotency-key", key.as_str())];
    let answer = connection
        .post(PATH, &headers, body(transfer, reference))
        .await?;
    answer.expect(StatusCode::ACCEPTED)?;
    Ok(answer)
}
