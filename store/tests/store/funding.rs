//! Money from outside: two entries, once, and typed refusals.

use crate::support::{BACK_OFFICE, TENANT, customer, fresh, usd, with_stores};
use domain::{AMOUNT_MAX, AccountId, Xid};
use futures_util::future::join_all;
use store::{FUNDED_BALANCE_MAX, Funded, Funding, FundingRefusal, NewAccount, Scope};

fn funding(account: AccountId, amount: i64) -> Funding {
    Funding {
        xid: Xid::from_bytes(fresh()),
        account,
        amount,
        currency: usd(),
    }
}

#[tokio::test]
async fn a_funding_books_two_entries_that_sum_to_zero() {
    with_stores(async |own| {
        for shard in 0..2 {
            let account = own.account_on(shard, 0).await;
            own.fund(account, 70).await;
            own.fund(account, 30).await;
            assert_eq!(own.money(account).await, (100, 0, 2));
            let pool = own.pool_of(account);
            let sum = own
                .count(pool, "SELECT CAST(SUM(delta) AS SIGNED) FROM entries")
                .await;
            let external = own
                .count(pool, "SELECT ledger_balance FROM accounts WHERE kind = 3")
                .await;
            let externals = own
                .count(pool, "SELECT COUNT(*) FROM accounts WHERE kind = 3")
                .await;
            assert_eq!((sum, external, externals), (0, -100, 1));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_key_funds_once_also_fifty_at_once() {
    with_stores(async |own| {
        let account = own.account(0).await;
        let funding = funding(account, 70);
        let funded = join_all((0..50).map(|_| own.accounts.fund(BACK_OFFICE, &funding))).await;
        let funded: Vec<Funded> = funded.into_iter().map(Result::unwrap).collect();
        let booked = funded
            .iter()
            .filter(|f| matches!(f, Funded::Booked(_)))
            .count();
        let replayed = funded
            .iter()
            .filter(|f| matches!(f, Funded::Replayed(_)))
            .count();
        assert_eq!((booked, replayed), (1, 49));
        assert_eq!(own.money(account).await, (70, 0, 1));

        own.fund(account, 5).await;
        let receipt = |funded: &Funded| match funded {
            Funded::Booked(receipt) | Funded::Replayed(receipt) => receipt.clone(),
            other => panic!("{other:?}"),
        };
        let again = own.accounts.fund(BACK_OFFICE, &funding).await.unwrap();
        assert!(
            funded.iter().all(|f| receipt(f) == receipt(&again)),
            "the first answer again"
        );
        let other = Funding {
            amount: 71,
            ..funding
        };
        assert_eq!(
            own.accounts.fund(BACK_OFFICE, &other).await.unwrap(),
            Funded::Conflict
        );
        let other = Funding {
            currency: "EUR".parse().unwrap(),
            ..funding
        };
        assert_eq!(
            own.accounts.fund(BACK_OFFICE, &other).await.unwrap(),
            Funded::Conflict
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_fundings_of_one_tenant_at_once_all_arrive() {
    with_stores(async |own| {
        let mut fundings = Vec::new();
        for _ in 0..5 {
            let account = own.account(0).await;
            fundings.extend((0..10).map(|_| funding(account, 1)));
        }
        let funded = join_all(fundings.iter().map(|f| own.accounts.fund(BACK_OFFICE, f))).await;
        assert!(
            funded.iter().all(|f| matches!(f, Ok(Funded::Booked(_)))),
            "{funded:?}"
        );
        for funding in &fundings {
            assert_eq!(own.money(funding.account).await, (10, 0, 10));
        }
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_funded_is_told_and_booked_nowhere() {
    with_stores(async |own| {
        let refused = async |scope, funding| match own.accounts.fund(scope, &funding).await.unwrap()
        {
            Funded::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        };
        let closed = own.account(0).await;
        own.accounts.close(BACK_OFFICE, closed).await.unwrap();
        let account = own.account(0).await;
        let euro = Funding {
            currency: "EUR".parse().unwrap(),
            ..funding(account, 1)
        };
        let missing = funding(AccountId::from_bytes([0; 16]), 1);
        let rival = Scope {
            tenant: TENANT,
            merchant: Some("rival"),
        };
        let other = Scope {
            tenant: "other",
            merchant: None,
        };

        assert_eq!(
            refused(BACK_OFFICE, funding(closed, 1)).await,
            FundingRefusal::AccountClosed
        );
        assert_eq!(
            refused(BACK_OFFICE, euro).await,
            FundingRefusal::CurrencyMismatch(usd())
        );
        assert_eq!(
            refused(BACK_OFFICE, missing).await,
            FundingRefusal::AccountNotFound
        );
        assert_eq!(
            refused(rival, funding(account, 1)).await,
            FundingRefusal::AccountNotFound
        );
        assert_eq!(
            refused(other, funding(account, 1)).await,
            FundingRefusal::AccountNotFound
        );
        for amount in [0, -1, AMOUNT_MAX + 1] {
            let refusal = refused(BACK_OFFICE, funding(account, amount)).await;
            assert_eq!(refusal, FundingRefusal::AmountOutOfRange);
        }
        assert_eq!(own.money(account).await, (0, 0, 0));
    })
    .await;
}

/// Callers open theirs under UUIDv7.
#[tokio::test]
async fn an_external_account_is_where_its_id_says_and_has_a_uuid_of_version_8() {
    with_stores(async |own| {
        for currency in ["USD", "EUR", "GBP", "JPY", "CHF", "SEK", "NOK", "PLN"] {
            let new = NewAccount {
                currency: currency.parse().unwrap(),
                ..customer(AccountId::from_bytes(fresh()))
            };
            let funding = Funding {
                currency: new.currency,
                ..funding(new.id, 1)
            };
            own.open(new).await;
            let funded = own.accounts.fund(BACK_OFFICE, &funding).await.unwrap();
            assert!(matches!(funded, Funded::Booked(_)), "{funded:?}");
        }
        let mut externals = 0;
        for shard in 0..2 {
            let pool = own.pool_of(own.account_on(shard, 0).await);
            let ids: Vec<Vec<u8>> = sqlx::query_scalar("SELECT id FROM accounts WHERE kind = 3")
                .fetch_all(pool)
                .await
                .unwrap();
            for id in ids {
                assert_eq!((id[6] >> 4, id[8] >> 6), (8, 0b10), "{id:02x?}");
                let id = AccountId::from_bytes(id.try_into().unwrap());
                assert_eq!(own.routing().account_shard(id).index, shard);
                externals += 1;
            }
        }
        assert_eq!(externals, 8);
    })
    .await;
}

#[tokio::test]
async fn a_funded_account_closed_since_still_answers_its_replay() {
    with_stores(async |own| {
        let account = own.account(0).await;
        let funding = funding(account, 70);
        own.accounts.fund(BACK_OFFICE, &funding).await.unwrap();
        own.accounts.close(BACK_OFFICE, account).await.unwrap();
        let again = own.accounts.fund(BACK_OFFICE, &funding).await.unwrap();
        assert!(matches!(again, Funded::Replayed(_)), "{again:?}");
    })
    .await;
}

#[tokio::test]
async fn no_funding_passes_the_limit_of_a_balance() {
    with_stores(async |own| {
        let new = customer(AccountId::from_bytes(fresh()));
        own.open(NewAccount {
            merchant: None,
            ..new.clone()
        })
        .await;
        sqlx::query("UPDATE accounts SET ledger_balance = ? WHERE id = ?")
            .bind(FUNDED_BALANCE_MAX - 5)
            .bind(&new.id.as_bytes()[..])
            .execute(own.pool_of(new.id))
            .await
            .unwrap();
        let six = own
            .accounts
            .fund(BACK_OFFICE, &funding(new.id, 6))
            .await
            .unwrap();
        assert_eq!(six, Funded::Refused(FundingRefusal::BalanceLimit));
        let five = own
            .accounts
            .fund(BACK_OFFICE, &funding(new.id, 5))
            .await
            .unwrap();
        assert!(matches!(five, Funded::Booked(_)), "{five:?}");
    })
    .await;
}
