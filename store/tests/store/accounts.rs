//! Opening, finding and closing accounts, and who may see them.

use crate::support::{BACK_OFFICE, TENANT, customer, fresh, with_stores};
use domain::{AccountId, AccountKind, AccountStatus, BodyDigest};
use futures_util::future::join_all;
use store::{NewAccount, Opened, Scope};

fn keyed(id: AccountId, body: &[u8]) -> NewAccount {
    NewAccount {
        body_digest: Some(BodyDigest::of_parts([body])),
        ..customer(id)
    }
}

#[tokio::test]
async fn an_account_is_found_as_it_was_opened() {
    with_stores(async |own| {
        let new = NewAccount {
            kind: AccountKind::Merchant,
            merchant: Some("shop".into()),
            name: "Läden & \u{1F600} \"quoted\"".into(),
            ..customer(AccountId::from_bytes(fresh()))
        };
        let Opened::New(account) = own.accounts.open(&new).await.unwrap() else {
            panic!("not new");
        };
        assert_eq!(
            own.accounts.find(BACK_OFFICE, new.id).await.unwrap(),
            Some(account.clone())
        );
        assert_eq!(
            (&account.name, &account.merchant),
            (&new.name, &new.merchant)
        );
        assert_eq!((account.ledger_balance, account.held), (0, 0));
        assert_eq!(
            (account.kind, account.status),
            (AccountKind::Merchant, AccountStatus::Open)
        );
        assert_eq!(account.available_balance(), 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_opens_one_account_also_fifty_at_once() {
    with_stores(async |own| {
        let new = keyed(AccountId::from_bytes(fresh()), b"one");
        let opened = join_all((0..50).map(|_| own.accounts.open(&new))).await;
        let new_ones = opened
            .iter()
            .filter(|o| matches!(o, Ok(Opened::New(_))))
            .count();
        let replays = opened
            .iter()
            .filter(|o| matches!(o, Ok(Opened::Replayed(_))))
            .count();
        assert_eq!((new_ones, replays), (1, 49));
        let other = keyed(new.id, b"two");
        assert_eq!(own.accounts.open(&other).await.unwrap(), Opened::Conflict);
        let unkeyed = customer(new.id);
        assert_eq!(own.accounts.open(&unkeyed).await.unwrap(), Opened::Conflict);
    })
    .await;
}

#[tokio::test]
async fn to_anyone_else_an_account_does_not_exist() {
    with_stores(async |own| {
        let new = NewAccount {
            merchant: Some("shop".into()),
            ..customer(AccountId::from_bytes(fresh()))
        };
        own.open(new.clone()).await;
        let see = async |tenant, merchant| {
            let scope = Scope { tenant, merchant };
            let found = own.accounts.find(scope, new.id).await.unwrap();
            let closed = match found {
                Some(_) => None,
                None => own.accounts.close(scope, new.id).await.unwrap(),
            };
            assert_eq!(closed, None);
            found.is_some()
        };
        assert!(see(TENANT, Some("shop")).await);
        assert!(see(TENANT, None).await);
        assert!(!see(TENANT, Some("rival")).await);
        assert!(!see(TENANT, Some("SHOP")).await);
        assert!(!see("other", None).await);
        assert!(!see("other", Some("shop")).await);
    })
    .await;
}

#[tokio::test]
async fn a_merchant_does_not_see_the_tenants_own_accounts() {
    with_stores(async |own| {
        let id = own.account(0).await;
        let shop = Scope {
            tenant: TENANT,
            merchant: Some("shop"),
        };
        assert_eq!(own.accounts.find(shop, id).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn closing_twice_keeps_the_first_time() {
    with_stores(async |own| {
        let id = own.account(5).await;
        let first = own.accounts.close(BACK_OFFICE, id).await.unwrap().unwrap();
        assert_eq!(first.status, AccountStatus::Closed);
        assert!(first.closed_at.is_some());
        let second = own.accounts.close(BACK_OFFICE, id).await.unwrap().unwrap();
        assert_eq!(first, second);
        let missing = AccountId::from_bytes([0; 16]);
        assert_eq!(
            own.accounts.close(BACK_OFFICE, missing).await.unwrap(),
            None
        );
    })
    .await;
}
