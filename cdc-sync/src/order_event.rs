//! From a document to the event that tells of it: pure.

use crate::rendered_document::RenderedDocument;
use domain::{EVENT_SOURCE, EVENT_SPEC_VERSION, EVENT_TYPE_PREFIX, event_headers, event_id};
use rdkafka::message::{Header, OwnedHeaders};

/// The headers of the event of this version of an order, whose id is the subject; the value is the document
/// itself, as JSON.
pub fn headers_of(document: &RenderedDocument, subject: &str) -> OwnedHeaders {
    let id = event_id(document.order_id, document.version);
    let kind = format!("{EVENT_TYPE_PREFIX}{}", document.status);
    let version = document.version.to_string();
    [
        (event_headers::SPEC_VERSION, EVENT_SPEC_VERSION),
        (event_headers::ID, &id),
        (event_headers::SOURCE, EVENT_SOURCE),
        (event_headers::TYPE, &kind),
        (event_headers::SUBJECT, subject),
        (event_headers::TIME, &document.updated_at),
        (event_headers::TENANT, &document.tenant),
        (event_headers::MERCHANT, &document.merchant),
        (event_headers::ORDER_VERSION, &version),
        (event_headers::CONTENT_TYPE, "application/json"),
    ]
    .into_iter()
    .fold(
        OwnedHeaders::new_with_capacity(10),
        |headers, (key, text)| {
            let value = Some(text);
            headers.insert(Header { key, value })
        },
    )
}
