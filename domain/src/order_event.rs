//! The record on `order.events`: one version of one order, as a CloudEvent in Kafka's binary mode. JSON
//! value, key = the order id's text.

use crate::OrderId;

/// What an event's type begins with; the order's status follows, as in `holdfast.order.paid`.
pub const EVENT_TYPE_PREFIX: &str = "holdfast.order.";
/// Where all events come from.
pub const EVENT_SOURCE: &str = "/holdfast/orders";
/// The version of CloudEvents that the headers follow.
pub const EVENT_SPEC_VERSION: &str = "1.0";

/// The names of an event's headers.
pub mod event_headers {
    /// [`super::EVENT_SPEC_VERSION`].
    pub const SPEC_VERSION: &str = "ce_specversion";
    /// [`super::event_id`]: an event that is delivered again carries the same one.
    pub const ID: &str = "ce_id";
    /// [`super::EVENT_SOURCE`].
    pub const SOURCE: &str = "ce_source";
    /// [`super::EVENT_TYPE_PREFIX`] and the order's status.
    pub const TYPE: &str = "ce_type";
    /// The order's id, as the key.
    pub const SUBJECT: &str = "ce_subject";
    /// When the row changed, RFC 3339.
    pub const TIME: &str = "ce_time";
    /// Whose shop.
    pub const TENANT: &str = "ce_tenant";
    /// Whose sale.
    pub const MERCHANT: &str = "ce_merchant";
    /// The row's version, decimal: whoever has seen a higher one of this order drops the event.
    pub const ORDER_VERSION: &str = "ce_orderversion";
    /// Of the value.
    pub const CONTENT_TYPE: &str = "content-type";
}

/// The id of the event of one version of an order, such as `ord_....2`.
pub fn event_id(order: OrderId, version: u64) -> String {
    format!("{order}.{version}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_of_an_order_is_an_event_of_its_own() {
        let order = OrderId::from_bytes([0xab; 16]);
        let expected = format!("ord_{}.2", "ab".repeat(16));
        assert_eq!(event_id(order, 2), expected);
    }
}
