//! The words and rules of Holdfast, without I/O: money, ids, slots, states, commands.
//!
//! Everything here is pure. Time, randomness and secrets come in through
//! arguments, so each rule can be tested exactly.

mod account;
mod command;
mod digest;
mod ids;
mod leg;
#[cfg(any(test, feature = "mangled"))]
pub mod mangled;
mod money;
mod order;
mod order_event;
mod order_id;
mod slot;
mod text;

pub use account::{AccountKind, AccountStatus};
pub use command::{
    COMMAND_TYPE, CONTENT_TYPE, CommandError, METADATA_BYTES_MAX, NOT_AFTER_DEFAULT_MS,
    PaymentCommand, SCHEMA_VERSION, headers,
};
pub use digest::{BodyDigest, PaymentBody};
pub use ids::{AccountId, IdError, OrderId, Xid};
pub use leg::{Leg, LegError, LegKind, decode_legs, encode_legs};
pub use money::{AMOUNT_MAX, Currency, Money, MoneyError, minor_units_in_range};
pub use order::{CodeError, OrderState, OrderStatus, Reason};
pub use order_event::{
    EVENT_SOURCE, EVENT_SPEC_VERSION, EVENT_TYPE_PREFIX, event_headers, event_id,
};
pub use order_id::{IdKey, IdKeyError, Operation};
pub use slot::{SLOTS, ShardName, SlotMap, SlotMapError, StoreKind, slot_of};
pub use text::{
    DESCRIPTION_CHARS_MAX, IDEMPOTENCY_KEY_CHARS_MAX, NAME_CHARS_MAX, REFERENCE_CHARS_MAX,
    SCOPE_NAME_CHARS_MAX, TextError, check_idempotency_key, check_scope_name, check_text,
};
