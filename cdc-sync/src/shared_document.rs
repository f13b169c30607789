//! Documents of the follower's own index that several processes write: each write says which state it
//! was decided on, and is refused where another was quicker (compare-and-set by sequence number).

use crate::search_client::{SearchClient, SearchError};
use reqwest::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// One state of a document: the ground of a compare-and-set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ground {
    seq_no: u64,
    primary_term: u64,
}

/// A document as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// Which state it is.
    pub ground: Ground,
    /// What it says.
    pub document: T,
}

/// The document of this id as it is now; none where there is none.
pub async fn find<T: DeserializeOwned>(
    client: &SearchClient,
    id: &str,
) -> Result<Option<Found<T>>, SearchError> {
    let answer = match client.json(Method::GET, &path(client, id), None).await {
        Ok(answer) => answer,
        Err(SearchError::Definite(text)) if text.contains("status 404") => return Ok(None),
        Err(error) => return Err(error),
    };
    let unreadable = |cause: &dyn std::fmt::Display| {
        SearchError::Definite(format!(
            "the document {id} cannot be read: {cause}: {answer}"
        ))
    };
    let ground = ground_of(&answer).ok_or_else(|| unreadable(&"it has no sequence number"))?;
    let document = serde_json::from_value(answer["_source"].clone());
    let document = document.map_err(|error| unreadable(&error))?;
    Ok(Some(Found { ground, document }))
}

/// Writes the document where it still is as at `ground`, or where there is none without a ground.
/// Answers its new state, or none where it is another by now.
pub async fn write<T: Serialize>(
    client: &SearchClient,
    id: &str,
    ground: Option<Ground>,
    document: &T,
) -> Result<Option<Ground>, SearchError> {
    let condition = match ground {
        Some(Ground {
            seq_no,
            primary_term,
        }) => format!("if_seq_no={seq_no}&if_primary_term={primary_term}"),
        None => "op_type=create".to_owned(),
    };
    let path = format!("{}?{condition}", path(client, id));
    match client
        .json(Method::PUT, &path, Some(&json!(document)))
        .await
    {
        Ok(answer) => ground_of(&answer).map(Some).ok_or_else(|| {
            SearchError::Definite(format!("the document {id} was written, but how? {answer}"))
        }),
        Err(SearchError::Definite(text)) if text.contains("status 409") => Ok(None),
        Err(error) => Err(error),
    }
}

fn path(client: &SearchClient, id: &str) -> String {
    format!("/{}/_doc/{id}", client.names().follower_index)
}

fn ground_of(answer: &Value) -> Option<Ground> {
    Some(Ground {
        seq_no: answer["_seq_no"].as_u64()?,
        primary_term: answer["_primary_term"].as_u64()?,
    })
}
