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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_s_shards_are_those_of_orders_and_then_those_of_accounts() {
        let routing = Routing {
            orders: SlotMap::even(1, 2).unwrap(),
            accounts: SlotMap::even(1, 3).unwrap(),
        };
        let place = |name: ShardName| (name.to_string(), routing.shard_id(name).0);
        let places: Vec<_> = routing.names().map(place).collect();
        let expected = [
            ("orders-0", 0),
            ("orders-1", 1),
            ("accounts-0", 2),
            ("accounts-1", 3),
            ("accounts-2", 4),
        ];
        assert_eq!(
            places,
            expected.map(|(name, place)| (name.to_owned(), place))
        );
        assert_eq!(routing.order_shards(), 2);
    }
}
