//! The audit trail against whoever gets past its guard: what was done to a chain is named.

use crate::audit::{export, operator, shard};
use crate::support::{Own, with_stores};
use sqlx::Executor;
use store::audit::{Break, Expected, Head, ShardCheck};

impl Own {
    /// Runs statements on shard 0 past its guard, as somebody with every privilege.
    async fn past_the_guard(&self, statements: &[&'static str]) {
        let pool = self.pool(shard(0));
        let away = [
            "DROP TRIGGER audit_refuse_update",
            "DROP TRIGGER audit_refuse_delete",
        ];
        // On a connection that nobody else gets after it.
        let mut conn = pool.acquire().await.unwrap().detach();
        for statement in away.iter().chain(statements) {
            conn.execute(*statement).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_database_refuses_to_change_or_remove_an_entry() {
    with_stores(async |own| {
        own.audit.note(&operator(), &export(None)).await.unwrap();
        assert!(own.audit.is_guarded(shard(0)).await.unwrap());
        let pool = own.pool(shard(0));
        for statement in ["UPDATE audit SET actor = 'eve'", "DELETE FROM audit"] {
            let refused = pool.execute(statement).await.unwrap_err();
            assert!(refused.to_string().contains("only ever added"), "{refused}");
        }
        assert_eq!(own.trail(0).await[0].actor, "op");
        own.past_the_guard(&[]).await;
        assert!(!own.audit.is_guarded(shard(0)).await.unwrap());
    })
    .await;
}

/// What a check says of a chain of five entries after these statements.
async fn after(statements: &'static [&'static str], expected: Option<Head>) -> ShardCheck {
    let said = std::sync::Mutex::new(None);
    with_stores(async |own| {
        for _ in 0..5 {
            own.audit.note(&operator(), &export(None)).await.unwrap();
        }
        let sound = own.checked(0, &[]).await;
        assert_eq!((sound.broken, sound.last.seq), (None, 5));
        own.past_the_guard(statements).await;
        let expected = expected.map(|head| Expected {
            shard: shard(0),
            seq: head.seq,
            hash: if head.seq == 5 {
                sound.last.hash
            } else {
                head.hash
            },
        });
        *said.lock().unwrap() = Some(own.checked(0, expected.as_slice()).await);
    })
    .await;
    said.into_inner().unwrap().unwrap()
}

#[tokio::test]
async fn an_altered_entry_is_named() {
    let check = after(&["UPDATE audit SET actor = 'eve' WHERE seq = 3"], None).await;
    assert_eq!(check.broken, Some(Break::Altered { seq: 3 }));
    assert_eq!(check.last.seq, 2);
}

#[tokio::test]
async fn a_removed_entry_is_named() {
    let check = after(&["DELETE FROM audit WHERE seq IN (2, 3)"], None).await;
    let missing = Break::Missing {
        from: 2,
        through: 3,
    };
    assert_eq!(check.broken, Some(missing));
}

#[tokio::test]
async fn what_stands_before_the_first_entry_is_named() {
    const FORGED: &[&str] = &[
        "INSERT INTO audit SELECT 0, at, tenant, 'ada', via, action, object, detail, \
                  request_id, prev_hash, hash FROM audit WHERE seq = 1",
    ];
    let check = after(FORGED, None).await;
    assert_eq!(check.broken, Some(Break::Altered { seq: 0 }));
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_a_break() {
    const UNREADABLE: &[&str] = &[
        "SET SESSION sql_mode = ''",
        "UPDATE audit SET at = '0000-00-00' WHERE seq = 3",
    ];
    let check = after(UNREADABLE, None).await;
    assert_eq!(check.broken, Some(Break::Unreadable { after: 0 }));
}

#[tokio::test]
async fn a_chain_without_its_head_is_broken_and_an_operator_is_written_down_elsewhere() {
    with_stores(async |own| {
        own.audit.note(&operator(), &export(None)).await.unwrap();
        own.past_the_guard(&["DELETE FROM audit_head"]).await;
        let check = own.checked(0, &[]).await;
        assert_eq!(check.broken, Some(Break::NoHead));
        own.audit.note(&operator(), &export(None)).await.unwrap();
        assert_eq!(own.checked(1, &[]).await.last.seq, 1);
    })
    .await;
}

#[tokio::test]
async fn a_cut_tail_is_seen_by_the_head() {
    let check = after(&["DELETE FROM audit WHERE seq > 3"], None).await;
    let missing = Break::Missing {
        from: 4,
        through: 5,
    };
    assert_eq!(check.broken, Some(missing));
}

const CUT_WITH_HEAD: &[&str] = &[
    "DELETE FROM audit WHERE seq > 3",
    "UPDATE audit_head h JOIN audit a ON a.seq = 3 SET h.seq = 3, h.hash = a.hash",
];

#[tokio::test]
async fn a_tail_cut_with_its_head_is_seen_only_by_who_wrote_a_later_one_down() {
    assert_eq!(after(CUT_WITH_HEAD, None).await.broken, None);
    let written_down = Head {
        seq: 5,
        ..Head::EMPTY
    };
    let check = after(CUT_WITH_HEAD, Some(written_down)).await;
    let cut = Break::Shorter {
        last: 3,
        expected: 5,
    };
    assert_eq!(check.broken, Some(cut));
}

#[tokio::test]
async fn a_chain_that_differs_from_what_was_written_down_is_called_rewritten() {
    let written_down = Head {
        seq: 2,
        ..Head::EMPTY
    };
    let check = after(&[], Some(written_down)).await;
    assert_eq!(check.broken, Some(Break::Rewritten { seq: 2 }));
}

#[tokio::test]
async fn what_the_head_does_not_know_is_named() {
    let forged = after(
        &["UPDATE audit_head h JOIN audit a ON a.seq = 4 SET h.seq = 4, h.hash = a.hash"],
        None,
    );
    assert_eq!(forged.await.broken, Some(Break::AfterHead { seq: 5 }));
    let other = after(&["UPDATE audit_head SET hash = REPEAT('x', 32)"], None);
    assert_eq!(other.await.broken, Some(Break::OtherHead { seq: 5 }));
}
