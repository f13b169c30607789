//! The stores: which shard holds what, all business SQL (one file a table), and the two roles the
//! engine gives it: the orders are its log, the accounts its participant.
//!
//! Knows databases and money; has never heard of HTTP or Kafka.

mod account_participant;
mod account_store;
mod accounts;
pub mod audit;
mod bisection;
mod branch_records;
mod close_unless_finished;
mod columns;
mod decide;
mod entries;
mod error;
mod funding;
mod holds;
mod json_rows;
mod open_orders;
mod order_log;
mod order_store;
mod orders;
mod payment_order;
mod postings;
pub mod reconcile;
mod routing;
mod session;
mod settings;
mod settle;
mod statements;
mod stores;
pub mod verify;

pub use account_participant::{AccountLeg, AccountParticipant};
pub use account_store::{AccountStore, NewAccount, Opened, Scope};
pub use accounts::Account;
pub use branch_records::{BranchRecords, EntryRecord, HoldRecord};
pub use entries::StatementEntry;
pub use error::StoreError;
pub use funding::{FUNDED_BALANCE_MAX, Funded, Funding, FundingReceipt, FundingRefusal};
pub use open_orders::{OpenOrder, OpenOrders, OpenPlace};
pub use order_log::{OrderLog, OrderLogSettings};
pub use order_store::{Lookup, OrderRow, OrderStore};
pub use payment_order::PaymentOrder;
pub use routing::Routing;
pub use settings::{StoresSettings, TlsMode};
pub use statements::{Period, Statement, StatementDay};
pub use stores::Stores;
