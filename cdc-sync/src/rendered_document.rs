//! A document as it is sent: rendered once, for the index and for the event. Of what it was made of it
//! keeps what stands beside it on the way, so that many of them can wait.

use crate::document::Document;
use domain::OrderId;

/// One version of an order, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedDocument {
    /// `ord_...`, the document's `_id` and the event's key.
    pub order_id: OrderId,
    /// The row's version, the document's `_version`.
    pub version: u64,
    /// `processing`, `paid` or `cancelled`.
    pub status: &'static str,
    /// Whose shop.
    pub tenant: Box<str>,
    /// Whose sale.
    pub merchant: Box<str>,
    /// When the row last changed, RFC 3339.
    pub updated_at: Box<str>,
    /// The document.
    pub json: Box<[u8]>,
}

impl TryFrom<Document> for RenderedDocument {
    type Error = serde_json::Error;

    fn try_from(document: Document) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_vec(&document)?;
        Ok(Self {
            order_id: document.order_id,
            version: document.version,
            status: document.status,
            tenant: document.tenant.into(),
            merchant: document.merchant.into(),
            updated_at: document.updated_at.into(),
            json: json.into(),
        })
    }
}
