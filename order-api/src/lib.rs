//! The HTTP door of Holdfast: orders in; orders, accounts and search results out.
//!
//! An order is answered with 202 only once Kafka has acknowledged its record; every refusal says
//! truly whether something may still come of it. Start reading at `routes/create_order.rs`.

mod accept_order;
mod audit;
mod auth;
mod body;
mod export;
mod first_bytes;
mod idempotency;
mod kafka_health;
mod limits;
mod metadata;
mod order_body;
mod order_lookup;
mod order_producer;
mod order_view;
mod outcome_wait;
mod prefer;
mod problem;
mod problem_kind;
mod queues;
mod remembered;
mod request_context;
mod router;
mod routes;
mod search;
mod search_export;
mod server;
mod settings;
mod state;
mod statement_export;
mod statement_view;

pub use auth::AuthSettings;
pub use idempotency::IdempotencySettings;
pub use order_lookup::LookupSettings;
pub use order_producer::ProducerSettings;
pub use outcome_wait::WaitingSettings;
pub use routes::openapi_json;
pub use server::Api;
pub use settings::{
    CursorSettings, DEFAULT_TOML, HttpSettings, IdsSettings, OrderSettings, PagingSettings,
    Settings,
};
