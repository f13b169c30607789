//! The indices: made if they are missing, the same however often this runs.

use crate::search_client::{SearchClient, SearchError};
use reqwest::Method;
use serde_json::{Value, json};
use service::search::SearchSettings;

/// Makes the orders' index behind its alias, the follower's own index and the dead letters'.
/// Also called before any follower has run, so that a search finds an empty index, not an error.
pub async fn setup(settings: &SearchSettings) -> Result<(), SearchError> {
    ensure_indices(&SearchClient::new(settings)?)
        .await
        .map(|_| ())
}

/// Where rows that cannot be documents are kept, beside the documents.
pub fn dead_letter_index(settings: &SearchSettings) -> String {
    format!("{}-dead-letter", settings.alias)
}

/// The alias of the index that is written beside the orders' own while there are two.
pub fn beside_alias(settings: &SearchSettings) -> String {
    format!("{}-beside", settings.alias)
}

/// Makes what is missing, and answers the uuid of the index behind the alias: another uuid than
/// last time means that the documents are gone, whatever the saved position says.
pub async fn ensure_indices(client: &SearchClient) -> Result<String, SearchError> {
    let names = client.names();
    let dead_letters = dead_letter_index(names);
    if !alias_exists(client).await? {
        create_orders(client, &names.index).await?;
        let actions = json!({ "actions": [
            { "add": { "index": names.index, "alias": names.alias, "is_write_index": true } }
        ]});
        client
            .json(Method::POST, "/_aliases", Some(&actions))
            .await?;
    }
    create(client, &names.follower_index, positions()).await?;
    create(client, &dead_letters, dead_letter()).await?;
    // An index of an earlier version gets the fields added since; a changed type is refused.
    for (index, body) in [
        (&names.alias, orders()),
        (&names.follower_index, positions()),
    ] {
        let path = format!("/{index}/_mapping");
        client
            .json(Method::PUT, &path, Some(&body["mappings"]))
            .await?;
    }
    let beside = beside_alias(names);
    if optional_index_behind(client, &beside).await?.is_some() {
        let path = format!("/{beside}/_mapping");
        client
            .json(Method::PUT, &path, Some(&orders()["mappings"]))
            .await?;
    }
    Ok(index_behind(client, &names.alias).await?.uuid)
}

/// Makes an index of orders as this version wants it.
pub(crate) async fn create_orders(client: &SearchClient, index: &str) -> Result<(), SearchError> {
    create(client, index, orders()).await
}

async fn alias_exists(client: &SearchClient) -> Result<bool, SearchError> {
    let path = format!("/_alias/{}", client.names().alias);
    match client.json(Method::GET, &path, None).await {
        Ok(_) => Ok(true),
        Err(SearchError::Definite(text)) if text.contains("status 404") => Ok(false),
        Err(error) => Err(error),
    }
}

async fn create(client: &SearchClient, index: &str, body: Value) -> Result<(), SearchError> {
    match client
        .json(Method::PUT, &format!("/{index}"), Some(&body))
        .await
    {
        Ok(_) => {
            tracing::info!(index, "The index is made.");
            Ok(())
        }
        Err(SearchError::Definite(text)) if text.contains("resource_already_exists") => Ok(()),
        Err(error) => Err(error),
    }
}

/// The index behind an alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexBehind {
    /// Such as `orders-v1`.
    pub name: String,
    /// Another one when the index was made anew.
    pub uuid: String,
}

/// The index behind an alias that may not be there.
pub(crate) async fn optional_index_behind(
    client: &SearchClient,
    alias: &str,
) -> Result<Option<IndexBehind>, SearchError> {
    match index_behind(client, alias).await {
        Ok(index) => Ok(Some(index)),
        Err(SearchError::Definite(text)) if text.contains("status 404") => Ok(None),
        Err(error) => Err(error),
    }
}

/// The one index behind an alias.
pub(crate) async fn index_behind(
    client: &SearchClient,
    alias: &str,
) -> Result<IndexBehind, SearchError> {
    let path = format!("/{alias}/_settings?filter_path=*.settings.index.uuid");
    let answer = client.json(Method::GET, &path, None).await?;
    let indices = answer.as_object().into_iter().flatten();
    let indices: Vec<(&String, &Value)> = indices.collect();
    match indices.as_slice() {
        [(name, index)] => Ok(IndexBehind {
            name: (*name).clone(),
            uuid: index["settings"]["index"]["uuid"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        }),
        several => Err(SearchError::Definite(format!(
            "the alias {alias} names {} indices, it must name one",
            several.len()
        ))),
    }
}

/// The follower refreshes what was acknowledged at an interval of its own; the index's is for what
/// was not yet, for a first snapshot and for an index beside. Naming an interval also keeps a quiet index
/// from falling asleep.
fn settings() -> Value {
    json!({
        "number_of_shards": 1,
        "auto_expand_replicas": "0-1",
        "refresh_interval": "5s",
    })
}

fn orders() -> Value {
    let (keyword, long) = (json!({ "type": "keyword" }), json!({ "type": "long" }));
    let time = json!({ "type": "date_nanos" });
    json!({
        "settings": settings(),
        "mappings": { "dynamic": "strict", "properties": {
            "order_id": keyword, "tenant": keyword, "merchant": keyword,
            "status": keyword, "reason": keyword,
            "payer": keyword, "payee": keyword,
            "amount": long, "captured": long, "refunded": long, "currency": keyword,
            "reference": keyword, "description": { "type": "text" },
            "accepted_at": time, "created_at": time, "updated_at": time,
            "version": long, "shard": keyword,
        }},
    })
}

/// A position may be longer than an indexed keyword; it is only ever read whole, and by its id. So no
/// refresh interval is named: an index that nobody searches is not refreshed.
fn positions() -> Value {
    let (keyword, time) = (
        json!({ "type": "keyword" }),
        json!({ "type": "date_nanos" }),
    );
    let stored = json!({ "type": "keyword", "index": false, "doc_values": false });
    json!({
        "settings": { "number_of_shards": 1, "auto_expand_replicas": "0-1" },
        "mappings": { "dynamic": "strict", "properties": {
            "server": keyword, "address": keyword, "shards": keyword, "index_uuid": keyword,
            "position": stored, "as_of": time, "saved_at": time,
            "holder": keyword, "process": keyword, "released": { "type": "boolean" }, "renewed_at": time,
            "rebuild": { "type": "object", "enabled": false },
            "snapshot": { "type": "object", "enabled": false },
        }},
    })
}

fn dead_letter() -> Value {
    let (keyword, time) = (
        json!({ "type": "keyword" }),
        json!({ "type": "date_nanos" }),
    );
    json!({
        "settings": settings(),
        "mappings": { "dynamic": "strict", "properties": {
            "order_id": keyword, "shard": keyword, "version": keyword,
            "reason": { "type": "text" }, "failed_at": time,
            "document": { "type": "object", "enabled": false },
        }},
    })
}
