//! Accounts as the API works on them: open, find, close. Funding stands in `funding.rs`. Each change is
//! in the audit trail of its shard, in the same SQL transaction.

use crate::accounts::{self, AccountInsert};
use crate::audit::{self, Action, Author, Deed};
use crate::close_unless_finished::CloseUnlessFinished;
use crate::stores::Databases;
use crate::{Account, StoreError};
use domain::{AccountId, AccountKind, AccountStatus, BodyDigest, Currency, ShardName};
use saga::SqlFault;
use serde_json::{Map, json};
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;
use std::sync::Arc;

/// Whose accounts a caller may see: a merchant his own, the back office all of its tenant's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope<'a> {
    /// The caller's tenant.
    pub tenant: &'a str,
    /// The caller's merchant; none is the back office.
    pub merchant: Option<&'a str>,
}

/// An account to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// A new UUIDv7, or the id derived from the Idempotency-Key.
    pub id: AccountId,
    /// Whose it is.
    pub tenant: String,
    /// Which of the tenant's merchants it belongs to; none for the tenant's own.
    pub merchant: Option<String>,
    /// Customer or merchant. External accounts are the system's own.
    pub kind: AccountKind,
    /// Of which currency its balance will be.
    pub currency: Currency,
    /// For people.
    pub name: String,
    /// The digest of the body that came with an Idempotency-Key.
    pub body_digest: Option<BodyDigest>,
}

/// What became of opening an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// It is new.
    New(Account),
    /// The same request opened it before; as it is now.
    Replayed(Account),
    /// Another request has this id; its account stands untouched.
    Conflict,
}

/// The account databases.
#[derive(Debug, Clone)]
pub struct AccountStore {
    pub(crate) databases: Arc<Databases>,
    /// In whose name changes stand in the audit trail.
    pub(crate) author: Arc<Author>,
}

impl Scope<'_> {
    /// Whether the caller may know of this account. External accounts do not exist to anyone.
    pub(crate) fn sees(&self, account: &Account) -> bool {
        let own = self.merchant.is_none() || self.merchant == account.merchant.as_deref();
        own && self.tenant == account.tenant && account.kind != AccountKind::External
    }
}

impl AccountStore {
    pub(crate) fn new(databases: Arc<Databases>) -> Self {
        Self {
            databases,
            author: Arc::new(Author::unnamed()),
        }
    }

    /// The same accounts, changed from here on in this author's name.
    pub fn by(&self, author: Author) -> Self {
        Self {
            databases: self.databases.clone(),
            author: Arc::new(author),
        }
    }

    /// Opens an account with a balance of zero. Repeating it with the same id and digest answers
    /// the account that is there.
    pub async fn open(&self, new: &NewAccount) -> Result<Opened, StoreError> {
        if new.kind == AccountKind::External {
            return Ok(Opened::Conflict);
        }
        let shard = self.databases.routing.account_shard(new.id);
        let of = |error| StoreError::of(shard, error);
        let mut conn = self.databases.pool(shard).acquire().await.map_err(of)?;
        let mut work = CloseUnlessFinished::new(&mut conn);
        let inserted = self.insert(work.conn(), new, shard).await;
        work.finish();
        let is_new = match inserted.map_err(SqlFault::from) {
            Ok(()) => true,
            Err(SqlFault::Duplicate(_)) => false,
            Err(
                fault @ (SqlFault::Partial { .. } | SqlFault::Transient(_) | SqlFault::Definite(_)),
            ) => return Err(StoreError::of_fault(shard, fault)),
        };
        let account = accounts::find(&mut conn, new.id).await.map_err(of)?;
        Ok(match account {
            Some(account) if is_new => Opened::New(account),
            Some(account) if new.body_digest.is_some() && same_request(&account, new) => {
                Opened::Replayed(account)
            }
            Some(_) => Opened::Conflict,
            None => return Err(of(sqlx::Error::RowNotFound)),
        })
    }

    /// The account, if the caller may know of it.
    pub async fn find(
        &self,
        scope: Scope<'_>,
        id: AccountId,
    ) -> Result<Option<Account>, StoreError> {
        let shard = self.databases.routing.account_shard(id);
        let of = |error| StoreError::of(shard, error);
        let mut conn = self.databases.pool(shard).acquire().await.map_err(of)?;
        let account = accounts::find(&mut conn, id).await.map_err(of)?;
        Ok(account.filter(|account| scope.sees(account)))
    }

    /// Closes the account for new orders, whatever it holds: what was reserved before still
    /// settles. Closing it again changes nothing. None if the caller may not know of it.
    pub async fn close(
        &self,
        scope: Scope<'_>,
        id: AccountId,
    ) -> Result<Option<Account>, StoreError> {
        let Some(account) = self.find(scope, id).await? else {
            return Ok(None);
        };
        match account.status {
            AccountStatus::Closed => return Ok(Some(account)),
            AccountStatus::Open => {}
        }
        let shard = self.databases.routing.account_shard(id);
        let of = |error| StoreError::of(shard, error);
        let mut conn = self.databases.pool(shard).acquire().await.map_err(of)?;
        let mut work = CloseUnlessFinished::new(&mut conn);
        let closed = self.close_open(work.conn(), &account, shard).await;
        work.finish();
        closed.map_err(of)?;
        accounts::find(&mut conn, id).await.map_err(of)
    }

    /// One SQL transaction: the row and its entry in the trail, or neither.
    async fn insert(
        &self,
        conn: &mut MySqlConnection,
        new: &NewAccount,
        shard: ShardName,
    ) -> Result<(), sqlx::Error> {
        let mut tx = conn.begin().await?;
        let inserted = async {
            accounts::insert(&mut tx, AccountInsert::of(new)).await?;
            audit::append(&mut tx, shard, &self.author, &opening(new)).await
        };
        match inserted.await {
            Ok(()) => tx.commit().await,
            Err(error) => {
                tx.rollback().await?;
                Err(error)
            }
        }
    }

    /// One SQL transaction; nothing where somebody else was quicker.
    async fn close_open(
        &self,
        conn: &mut MySqlConnection,
        account: &Account,
        shard: ShardName,
    ) -> Result<(), sqlx::Error> {
        let mut tx = conn.begin().await?;
        if accounts::close(&mut tx, account.id).await? {
            audit::append(&mut tx, shard, &self.author, &closing(account)).await?;
        }
        tx.commit().await
    }
}

/// The name is left out: it may be a person's, and the trail is kept for ever.
fn opening(new: &NewAccount) -> Deed<'_> {
    Deed {
        tenant: Some(&new.tenant),
        action: Action::AccountOpened,
        object: new.id.to_string().into(),
        detail: audit::detail([
            ("kind", json!(new.kind)),
            ("merchant", json!(new.merchant)),
            ("currency", json!(new.currency.as_str())),
        ]),
    }
}

fn closing(account: &Account) -> Deed<'_> {
    Deed {
        tenant: Some(&account.tenant),
        action: Action::AccountClosed,
        object: account.id.to_string().into(),
        detail: Map::new(),
    }
}

fn same_request(account: &Account, new: &NewAccount) -> bool {
    account.tenant == new.tenant && account.body_digest == new.body_digest
}

impl<'a> AccountInsert<'a> {
    fn of(new: &'a NewAccount) -> Self {
        Self {
            id: new.id,
            tenant: &new.tenant,
            merchant: new.merchant.as_deref(),
            kind: new.kind,
            currency: new.currency,
            name: &new.name,
            credit_limit: Some(0),
            body_digest: new.body_digest,
        }
    }
}
