//! What can be found by search, asked of Elasticsearch itself.

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use hyper::StatusCode;
use serde_json::{Value, json};
use stack::Stack;

use crate::http_client::Connection;

/// A connection to the orders' index.
#[derive(Debug)]
pub struct SearchIndex(Connection);

/// An order that was found as paid.
#[derive(Debug)]
pub struct Found {
    /// Its id.
    pub order_id: String,
    /// When it was paid, by the store's clock.
    pub paid_at: DateTime<Utc>,
}

impl SearchIndex {
    /// Connects.
    pub async fn open(stack: &Stack) -> Result<Self> {
        Ok(Self(Connection::open(&stack.env().search_url, None).await?))
    }

    /// How many orders with this reference are found as paid.
    pub async fn count_paid(&mut self, reference: &str) -> Result<usize> {
        let query = json!({"query": {"bool": {"filter": [
            {"term": {"reference": reference}}, {"term": {"status": "paid"}}
        ]}}});
        let answer = self.ask("/orders/_count", &query).await?;
        let count = answer["count"].as_u64().context("a count without number")?;
        Ok(usize::try_from(count)?)
    }

    /// Which of these orders are found as paid.
    pub async fn find_paid(&mut self, order_ids: &[&String]) -> Result<Vec<Found>> {
        let query = json!({
            "size": order_ids.len(),
            "_source": ["updated_at"],
            "query": {"bool": {"filter": [
                {"ids": {"values": order_ids}}, {"term": {"status": "paid"}}
            ]}}
        });
        let answer = self.ask("/orders/_search", &query).await?;
        let hits = answer["hits"]["hits"].as_array();
        let hits = hits.context("a search without hits")?;
        hits.iter().map(found).collect()
    }

    async fn ask(&mut self, path: &str, query: &Value) -> Result<Value> {
        let answer = self.0.post(path, &[], query.to_string()).await?;
        answer.expect(StatusCode::OK)
    }
}

fn found(hit: &Value) -> Result<Found> {
    let order_id = hit["_id"].as_str().context("a hit without id")?;
    let paid_at = hit["_source"]["updated_at"].as_str();
    let paid_at = paid_at.context("a document without updated_at")?;
    Ok(Found {
        order_id: order_id.to_owned(),
        paid_at: DateTime::parse_from_rfc3339(paid_at)?.to_utc(),
    })
}
