//! The audit trail: an action and its entry are one, and the chain neither forks nor bends.

use crate::support::{BACK_OFFICE, Own, TENANT, customer, fresh, usd, with_stores};
use domain::{AccountId, AccountStatus, ShardName, StoreKind, Xid};
use futures_util::future::join_all;
use sqlx::Executor;
use std::collections::BTreeSet;
use std::task::Poll;
use std::time::Duration;
use store::audit::{Action, Author, Deed, Entry, Expected, ShardCheck, Via};
use store::{Funded, Funding, NewAccount, StoreError, Stores, StoresSettings};

pub fn shard(index: u16) -> ShardName {
    ShardName {
        store: StoreKind::Accounts,
        index,
    }
}

fn author(name: &str) -> Author {
    Author {
        actor: name.to_owned(),
        via: Via::Api,
        token: Some(format!("k/{name}")),
        request_id: format!("request of {name}"),
    }
}

pub fn operator() -> Author {
    Author {
        via: Via::Command,
        token: None,
        ..author("op")
    }
}

pub fn export(tenant: Option<&str>) -> Deed<'_> {
    Deed {
        tenant,
        action: Action::OrdersExported,
        object: "search".into(),
        detail: serde_json::Map::new(),
    }
}

fn funding(account: AccountId, amount: i64) -> Funding {
    Funding {
        xid: Xid::from_bytes(fresh()),
        account,
        amount,
        currency: usd(),
    }
}

impl Own {
    /// Every entry of a shard, the oldest first.
    pub async fn trail(&self, index: u16) -> Vec<Entry> {
        let page = self.audit.page_before(shard(index), u64::MAX, 10_000).await;
        let mut entries = page.unwrap();
        entries.reverse();
        entries
    }

    pub async fn checked(&self, index: u16, expected: &[Expected]) -> ShardCheck {
        let check = self.audit.check(shard(index), expected, |_, _| ());
        check.await.unwrap()
    }

    /// An id whose account is on this shard.
    fn id_on(&self, index: u16) -> AccountId {
        loop {
            let id = AccountId::from_bytes(fresh());
            if self.routing().account_shard(id).index == index {
                return id;
            }
        }
    }
}

#[tokio::test]
async fn opening_funding_and_closing_leave_an_entry_each_in_their_author_s_name() {
    with_stores(async |own| {
        let id = own.id_on(1);
        let accounts = own.accounts.by(author("ada"));
        let new = NewAccount {
            name: "a person's name".into(),
            ..customer(id)
        };
        accounts.open(&new).await.unwrap();
        let funding = funding(id, 70);
        for _ in 0..3 {
            accounts.fund(BACK_OFFICE, &funding).await.unwrap();
            accounts.close(BACK_OFFICE, id).await.unwrap();
        }
        let trail = own.trail(1).await;
        let actions: Vec<_> = trail.iter().map(|e| e.action.as_str()).collect();
        assert_eq!(
            actions,
            ["account.opened", "account.funded", "account.closed"],
            "a replay changes nothing, so it leaves nothing"
        );
        for entry in &trail {
            assert_eq!((entry.actor.as_str(), entry.via.as_str()), ("ada", "api"));
            assert_eq!(entry.object, id.to_string());
            assert_eq!(entry.tenant, TENANT);
            assert_eq!(entry.request_id, "request of ada");
            assert!(entry.detail.contains(r#""token":"k/ada""#), "{entry:?}");
            assert!(!entry.detail.contains("person"), "{entry:?}");
        }
        let detail: serde_json::Value = serde_json::from_str(&trail[1].detail).unwrap();
        assert_eq!(
            (&detail["amount"], &detail["balance_after"]),
            (&70.into(), &70.into())
        );
        assert_eq!(own.trail(0).await, []);
        assert_eq!(own.checked(1, &[]).await.broken, None);
    })
    .await;
}

/// It was open when it was looked up, and somebody else's closing is committed by its own turn.
#[tokio::test]
async fn a_closing_that_comes_second_leaves_no_entry() {
    with_stores(async |own| {
        let id = own.account(0).await;
        let mut other = own.pool_of(id).begin().await.unwrap();
        let close = "UPDATE accounts SET status = 2, closed_at = UTC_TIMESTAMP(6)";
        other.execute(close).await.unwrap();
        let commit = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            other.commit().await.unwrap();
        };
        let (closed, ()) = tokio::join!(own.accounts.close(BACK_OFFICE, id), commit);
        let account = closed.unwrap().unwrap();
        assert_eq!(account.status, AccountStatus::Closed);
        let trail = own.trail(0).await;
        let actions: Vec<_> = trail.iter().map(|e| e.action.as_str()).collect();
        assert_eq!(actions, ["account.opened"]);
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_leaves_no_entry() {
    with_stores(async |own| {
        let id = own.id_on(0);
        own.open(customer(id)).await;
        let before = own.trail(0).await;
        let euros = Funding {
            currency: "EUR".parse().unwrap(),
            ..funding(id, 1)
        };
        own.accounts.fund(BACK_OFFICE, &euros).await.unwrap();
        own.accounts.open(&customer(id)).await.unwrap();
        let nobody = own.id_on(0);
        own.accounts.close(BACK_OFFICE, nobody).await.unwrap();
        assert_eq!(own.trail(0).await, before);
    })
    .await;
}

/// The trail cannot be written while its head is away: then nothing happens at all.
#[tokio::test]
async fn without_its_entry_an_action_does_not_happen() {
    with_stores(async |own| {
        let id = own.id_on(0);
        own.open(customer(id)).await;
        own.pool(shard(0))
            .execute("RENAME TABLE audit_head TO audit_head_away")
            .await
            .unwrap();
        let other = own.id_on(0);
        assert!(own.accounts.open(&customer(other)).await.is_err());
        assert!(own.accounts.close(BACK_OFFICE, id).await.is_err());
        let funded = own.accounts.fund(BACK_OFFICE, &funding(id, 70)).await;
        assert!(funded.is_err(), "{funded:?}");
        own.pool(shard(0))
            .execute("RENAME TABLE audit_head_away TO audit_head")
            .await
            .unwrap();
        assert_eq!(own.accounts.find(BACK_OFFICE, other).await.unwrap(), None);
        let account = own.accounts.find(BACK_OFFICE, id).await.unwrap().unwrap();
        assert_eq!((account.ledger_balance, account.closed_at), (0, None));
        let pool = own.pool_of(id);
        assert_eq!(own.count(pool, "SELECT COUNT(*) FROM entries").await, 0);
        assert_eq!(own.trail(0).await.len(), 1);
    })
    .await;
}

/// The same the other way round: an entry whose action is rolled back is not there.
#[tokio::test]
async fn without_its_action_an_entry_is_not_kept() {
    with_stores(async |own| {
        let id = own.id_on(0);
        own.open(customer(id)).await;
        // The deed is written, its entry too, and then the last statement fails.
        own.pool(shard(0))
            .execute(
                "CREATE TRIGGER late BEFORE UPDATE ON audit_head FOR EACH ROW
                 SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'too late'",
            )
            .await
            .unwrap();
        let funded = own.accounts.fund(BACK_OFFICE, &funding(id, 70)).await;
        assert!(funded.unwrap_err().to_string().contains("too late"));
        assert_eq!(own.trail(0).await.len(), 1);
        assert_eq!(own.money(id).await, (0, 0, 0));
        own.pool(shard(0))
            .execute("DROP TRIGGER late")
            .await
            .unwrap();
        own.fund(id, 70).await;
        assert_eq!(own.checked(0, &[]).await.last.seq, 2);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_once_never_fork_the_chain() {
    with_stores(async |own| {
        let ids = [own.id_on(0), own.id_on(0)];
        for id in ids {
            own.open(customer(id)).await;
        }
        let writer = async |id: AccountId| {
            for _ in 0..200 {
                let funding = funding(id, 1);
                let funded = own.accounts.fund(BACK_OFFICE, &funding).await.unwrap();
                assert!(matches!(funded, Funded::Booked(_)), "{funded:?}");
            }
        };
        let noter = async || {
            for _ in 0..200 {
                let noted = own.audit.note(&operator(), &export(None)).await;
                noted.unwrap();
            }
        };
        let opener = async || {
            for _ in 0..200 {
                own.open(customer(own.id_on(0))).await;
            }
        };
        tokio::join!(writer(ids[0]), writer(ids[1]), noter(), noter(), opener());
        let check = own.checked(0, &[]).await;
        assert_eq!((check.broken, check.last.seq), (None, 1_002));
        let trail = own.trail(0).await;
        assert!(trail.is_sorted_by_key(|entry| entry.at), "in order of time");
    })
    .await;
}

#[tokio::test]
async fn a_note_is_kept_by_its_tenant_s_shard_and_an_operator_s_by_the_first() {
    with_stores(async |own| {
        let tenants: Vec<String> = (0..20).map(|n| format!("tenant-{n}")).collect();
        for tenant in &tenants {
            let deed = export(Some(tenant));
            own.audit.note(&author("ada"), &deed).await.unwrap();
            own.audit.note(&author("ada"), &deed).await.unwrap();
        }
        let mut kept = BTreeSet::new();
        for index in 0..2 {
            let trail = own.trail(index).await;
            assert!(!trail.is_empty(), "shard {index}");
            let of: BTreeSet<String> = trail.into_iter().map(|entry| entry.tenant).collect();
            assert!(kept.is_disjoint(&of), "one tenant, one shard");
            kept.extend(of);
        }
        assert_eq!(kept, tenants.iter().cloned().collect());
        own.audit.note(&operator(), &export(None)).await.unwrap();
        let last = own.trail(0).await.pop().unwrap();
        assert_eq!((last.actor.as_str(), last.tenant.as_str()), ("op", ""));
    })
    .await;
}

#[tokio::test]
async fn an_operator_s_act_is_kept_by_a_shard_that_answers_and_a_tenant_s_by_its_own_only() {
    with_stores(async |own| {
        let settings = StoresSettings {
            account_shards: vec![
                "mysql://nobody:nobody@127.0.0.1:9/nothing".to_owned(),
                own.settings.account_shards[1].clone(),
            ],
            connect_timeout_ms: 500,
            ..own.settings.clone()
        };
        let half = Stores::connect(&settings).unwrap();
        half.audit.note(&operator(), &export(None)).await.unwrap();
        assert_eq!(own.trail(1).await.len(), 1);
        let tenants: Vec<String> = (0..20).map(|n| format!("tenant-{n}")).collect();
        let mut refused = 0;
        for tenant in &tenants {
            let (author, deed) = (author("ada"), export(Some(tenant)));
            let noted = half.audit.note(&author, &deed).await;
            refused += usize::from(noted.is_err());
        }
        assert!((1..20).contains(&refused), "{refused}");
        assert_eq!(own.trail(1).await.len(), 1 + 20 - refused);
        half.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_chain_that_grows_while_it_is_followed_is_sound() {
    with_stores(async |own| {
        let grow = async || {
            for _ in 0..150 {
                own.audit.note(&operator(), &export(None)).await.unwrap();
            }
        };
        let follow = async || {
            for _ in 0..40 {
                assert_eq!(own.checked(0, &[]).await.broken, None);
            }
        };
        tokio::join!(grow(), grow(), follow());
    })
    .await;
}

#[tokio::test]
async fn a_note_that_is_dropped_at_any_point_leaves_its_connection_clean() {
    with_stores(async |own| {
        own.audit.note(&operator(), &export(None)).await.unwrap();
        let (mut dropped, mut written) = (0, 0);
        for round in 0..400 {
            let (author, deed) = (operator(), export(None));
            let mut note = std::pin::pin!(own.audit.note(&author, &deed));
            // So many answers of the server later it is dropped, wherever that finds it.
            let mut polls = 0;
            let ended = std::future::poll_fn(|context| {
                polls += 1;
                match note.as_mut().poll(context) {
                    Poll::Ready(noted) => Poll::Ready(Some(noted)),
                    Poll::Pending if polls > round % 40 => Poll::Ready(None),
                    Poll::Pending => Poll::Pending,
                }
            });
            match ended.await {
                Some(noted) => {
                    noted.unwrap();
                    written += 1;
                }
                None => dropped += 1,
            }
        }
        assert!(
            dropped > 20 && written > 20,
            "{dropped} dropped, {written} written"
        );
        let notes = (0..8).map(async |_| own.audit.note(&operator(), &export(None)).await);
        let noted: Result<Vec<()>, StoreError> = join_all(notes).await.into_iter().collect();
        noted.unwrap();
        assert_eq!(own.checked(0, &[]).await.broken, None);
    })
    .await;
}
