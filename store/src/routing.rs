//! Which shard holds a row, and where that shard stands among the engine's: the order shards
//! first, then the account shards.

use crate::{StoreError, StoresSettings};
use domain::{AccountId, BodyDigest, OrderId, ShardName, SlotMap, StoreKind};
use saga::ShardId;

/// The slot maps of both stores.
#[derive(Debug, Clone)]
pub struct Routing {
    orders: SlotMap,
    accounts: SlotMap,
}

impl Routing {
    /// The maps that the settings name.
    pub fn new(settings: &StoresSettings) -> Result<Self, StoreError> {
        Ok(Self {
            orders: settings.slot_map(StoreKind::Orders)?,
            accounts: settings.slot_map(StoreKind::Accounts)?,
        })
    }

    /// The shard that holds this order.
    pub fn order_shard(&self, id: OrderId) -> ShardName {
        ShardName {
            store: StoreKind::Orders,
            index: self.orders.shard_of(id.as_bytes()),
        }
    }

    /// The shard that holds this account, its holds and its entries.
    pub fn account_shard(&self, id: AccountId) -> ShardName {
        ShardName {
            store: StoreKind::Accounts,
            index: self.accounts.shard_of(id.as_bytes()),
        }
    }

    /// The account shard whose audit trail keeps what a tenant asks for that is no row of a shard.
    pub(crate) fn audit_shard(&self, tenant: &str) -> ShardName {
        let digest = BodyDigest::of_parts([b"audit".as_slice(), tenant.as_bytes()]);
        let mut id = [0; 16];
        id.copy_from_slice(&digest.as_bytes()[..16]);
        ShardName {
            store: StoreKind::Accounts,
            index: self.accounts.shard_of(&id),
        }
    }

    /// Every shard in the engine's order.
    pub fn names(&self) -> impl Iterator<Item = ShardName> + use<> {
        let of = |store, count| (0..count).map(move |index| ShardName { store, index });
        of(StoreKind::Orders, self.orders.shards())
            .chain(of(StoreKind::Accounts, self.accounts.shards()))
    }

    /// A shard's place among the engine's.
    pub fn shard_id(&self, name: ShardName) -> ShardId {
        match name.store {
            StoreKind::Orders => ShardId(name.index),
            StoreKind::Accounts => ShardId(self.orders.shards() + name.index),
        }
    }

    /// How many shards hold orders.
    pub fn order_shards(&self) -> u16 {
        self.orders.shards()
    }

    /// The shards that hold orders.
    pub fn order_shard_ids(&self) -> Vec<ShardId> {
        (0..self.orders.shards()).map(ShardId).collect()
    }
}
