//! Money from the world outside into an account: one SQL transaction with two entries, between the
//! account and the external account of its tenant and currency on the same shard. Idempotent by
//! the entries' unique key (xid, leg). Its entry in the audit trail is of the same SQL transaction.

use crate::accounts::{self, AccountInsert, NetPosting};
use crate::audit::{self, Action, Deed};
use crate::close_unless_finished::CloseUnlessFinished;
use crate::entries::{self, Entry};
use crate::postings::{Booking, book};
use crate::{Account, AccountStore, Routing, Scope, StoreError};
use chrono::{DateTime, Utc};
use domain::{
    AccountId, AccountKind, AccountStatus, BodyDigest, Currency, ShardName, Xid,
    minor_units_in_range,
};
use saga::SqlFault;
use serde_json::json;
use sqlx::Connection;
use sqlx::mysql::MySqlConnection;

/// No funding lifts a balance above this, nor takes an external account below its negative: so the
/// money of eight shards in one currency fits one account's 64 bits, and no confirm can overflow.
pub const FUNDED_BALANCE_MAX: i64 = 1_000_000_000_000_000_000;

const EXTERNAL_LEG: u8 = 0;
const ACCOUNT_LEG: u8 = 1;

/// Money to put into an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Funding {
    /// Names it; derived from the Idempotency-Key.
    pub xid: Xid,
    /// Whose balance grows.
    pub account: AccountId,
    /// Minor units.
    pub amount: i64,
    /// Must be the account's.
    pub currency: Currency,
}

/// What a funding did, the same however often it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FundingReceipt {
    /// Names it.
    pub xid: Xid,
    /// Whose balance grew.
    pub account: AccountId,
    /// Minor units.
    pub amount: i64,
    /// Of which currency.
    pub currency: Currency,
    /// The account's ledger balance right after, in minor units.
    pub balance_after: i64,
    /// When, by the database's clock.
    pub booked_at: DateTime<Utc>,
}

/// What became of a funding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Funded {
    /// It is booked now.
    Booked(FundingReceipt),
    /// It was booked before.
    Replayed(FundingReceipt),
    /// This xid was booked with another amount or currency; that one stands.
    Conflict,
    /// Nothing was booked.
    Refused(FundingRefusal),
}

/// Why nothing was booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FundingRefusal {
    /// To this caller there is no such account.
    AccountNotFound,
    /// The account is closed.
    AccountClosed,
    /// The account is of this currency.
    CurrencyMismatch(Currency),
    /// The amount is not 1 to [`domain::AMOUNT_MAX`].
    AmountOutOfRange,
    /// A balance would pass [`FUNDED_BALANCE_MAX`].
    BalanceLimit,
}

impl AccountStore {
    /// Puts money into an account, once however often it is asked.
    pub async fn fund(&self, scope: Scope<'_>, funding: &Funding) -> Result<Funded, StoreError> {
        if !minor_units_in_range(funding.amount) {
            return Ok(Funded::Refused(FundingRefusal::AmountOutOfRange));
        }
        let shard = self.databases.routing.account_shard(funding.account);
        let external = external_account(
            &self.databases.routing,
            scope.tenant,
            funding.currency,
            shard,
        );
        // The second round meets what the first one lacked: the external account, or the entries
        // of the same funding that was quicker.
        for _ in 0..3 {
            match self.fund_once(scope, funding, shard, external).await {
                Ok(Some(funded)) => return Ok(funded),
                Ok(None) => {
                    self.open_external(scope.tenant, funding.currency, shard, external)
                        .await?
                }
                Err(SqlFault::Duplicate(_)) => {}
                Err(
                    fault @ (SqlFault::Partial { .. }
                    | SqlFault::Transient(_)
                    | SqlFault::Definite(_)),
                ) => return Err(StoreError::of_fault(shard, fault)),
            }
        }
        let source = sqlx::Error::Protocol("a funding kept meeting its own duplicate".into());
        Err(StoreError::Transient { shard, source })
    }

    /// One SQL transaction; none when the external account is missing.
    async fn fund_once(
        &self,
        scope: Scope<'_>,
        funding: &Funding,
        shard: ShardName,
        external: AccountId,
    ) -> Result<Option<Funded>, SqlFault> {
        let mut conn = self.databases.pool(shard).acquire().await?;
        let mut work = CloseUnlessFinished::new(&mut conn);
        let mut tx = work.conn().begin().await?;
        let funded = async {
            let funded = fund_in(&mut tx, scope, funding, external).await?;
            if let Some(Funded::Booked(receipt)) = &funded {
                audit::append(&mut tx, shard, &self.author, &deed(scope, receipt)).await?;
            }
            Ok(funded)
        };
        let funded = funded.await;
        match &funded {
            Ok(Some(Funded::Booked(_))) => tx.commit().await?,
            Ok(Some(Funded::Replayed(_) | Funded::Conflict | Funded::Refused(_)) | None)
            | Err(_) => tx.rollback().await?,
        }
        work.finish();
        funded
    }

    async fn open_external(
        &self,
        tenant: &str,
        currency: Currency,
        shard: ShardName,
        id: AccountId,
    ) -> Result<(), StoreError> {
        let of = |error| StoreError::of(shard, error);
        let mut conn = self.databases.pool(shard).acquire().await.map_err(of)?;
        let external = AccountInsert {
            id,
            tenant,
            merchant: None,
            kind: AccountKind::External,
            currency,
            name: "external",
            credit_limit: None,
            body_digest: None,
        };
        match accounts::insert(&mut conn, external)
            .await
            .map_err(SqlFault::from)
        {
            // Somebody else opened it just now.
            Ok(()) | Err(SqlFault::Duplicate(_)) => Ok(()),
            Err(
                fault @ (SqlFault::Partial { .. } | SqlFault::Transient(_) | SqlFault::Definite(_)),
            ) => Err(StoreError::of_fault(shard, fault)),
        }
    }
}

async fn fund_in(
    conn: &mut MySqlConnection,
    scope: Scope<'_>,
    funding: &Funding,
    external: AccountId,
) -> Result<Option<Funded>, SqlFault> {
    let account = accounts::find(conn, funding.account).await?;
    let Some(account) = account.filter(|account| scope.sees(account)) else {
        return Ok(Some(Funded::Refused(FundingRefusal::AccountNotFound)));
    };
    let mut ids = [external, account.id];
    ids.sort_unstable();
    let balances = accounts::lock_balances(conn, &ids).await?;
    // Read under the account's lock: exactly what is booked.
    let key = (funding.xid, ACCOUNT_LEG);
    if let Some(entry) = entries::read(conn, [key]).await?.get(&key) {
        return Ok(Some(replay(funding, &account, entry)));
    }
    // Under the lock, because it may have been closed since it was found.
    let Some(account) = accounts::find(conn, account.id).await? else {
        return Ok(Some(Funded::Refused(FundingRefusal::AccountNotFound)));
    };
    if let Some(refusal) = refusal(funding, &account) {
        return Ok(Some(Funded::Refused(refusal)));
    }
    if !balances.contains_key(&external) {
        return Ok(None);
    }
    let leg = |account, leg, delta| Booking {
        key: (funding.xid, leg),
        account,
        delta,
        release: 0,
    };
    let bookings = [
        leg(external, EXTERNAL_LEG, -funding.amount),
        leg(account.id, ACCOUNT_LEG, funding.amount),
    ];
    let booked = book(&bookings, &balances);
    if booked.failures.iter().any(Option::is_some) || booked.postings.nets.iter().any(beyond_limit)
    {
        return Ok(Some(Funded::Refused(FundingRefusal::BalanceLimit)));
    }
    entries::insert(conn, &booked.postings.entries).await?;
    accounts::post(conn, &booked.postings.nets).await?;
    let entry = entries::read(conn, [key]).await?.remove(&key);
    let entry = entry.ok_or_else(|| SqlFault::from(sqlx::Error::RowNotFound))?;
    Ok(Some(Funded::Booked(receipt(funding, &entry))))
}

fn deed<'a>(scope: Scope<'a>, receipt: &FundingReceipt) -> Deed<'a> {
    Deed {
        tenant: Some(scope.tenant),
        action: Action::AccountFunded,
        object: receipt.account.to_string().into(),
        detail: audit::detail([
            ("funding", json!(receipt.xid.to_string())),
            ("amount", json!(receipt.amount)),
            ("currency", json!(receipt.currency.as_str())),
            ("balance_after", json!(receipt.balance_after)),
        ]),
    }
}

fn refusal(funding: &Funding, account: &Account) -> Option<FundingRefusal> {
    match account.status {
        AccountStatus::Closed => return Some(FundingRefusal::AccountClosed),
        AccountStatus::Open => {}
    }
    (account.currency != funding.currency)
        .then_some(FundingRefusal::CurrencyMismatch(account.currency))
}

fn beyond_limit(net: &NetPosting) -> bool {
    net.balance.ledger_balance.unsigned_abs() > FUNDED_BALANCE_MAX.unsigned_abs()
}

fn replay(funding: &Funding, account: &Account, entry: &Entry) -> Funded {
    let same = entry.account == funding.account
        && entry.delta == funding.amount
        && account.currency == funding.currency;
    if same {
        Funded::Replayed(receipt(funding, entry))
    } else {
        Funded::Conflict
    }
}

fn receipt(funding: &Funding, entry: &Entry) -> FundingReceipt {
    FundingReceipt {
        xid: funding.xid,
        account: funding.account,
        amount: funding.amount,
        currency: funding.currency,
        balance_after: entry.balance_after,
        booked_at: entry.booked_at,
    }
}

/// The external account of (tenant, currency) on this shard: the first of a row of hashes of
/// (tenant, currency, counter) whose slot this shard holds, so that nobody needs to keep its id.
fn external_account(
    routing: &Routing,
    tenant: &str,
    currency: Currency,
    shard: ShardName,
) -> AccountId {
    let candidate = |counter: u32| {
        let parts = [
            b"external account".as_slice(),
            tenant.as_bytes(),
            currency.as_str().as_bytes(),
            &counter.to_be_bytes(),
        ];
        let digest = BodyDigest::of_parts(parts);
        let mut id = [0; 16];
        id.copy_from_slice(&digest.as_bytes()[..16]);
        // A UUIDv8, so that it can never be the id of an account opened by a caller's UUIDv7.
        id[6] = id[6] & 0x0f | 0x80;
        id[8] = id[8] & 0x3f | 0x80;
        AccountId::from_bytes(id)
    };
    let mut counter = 0;
    loop {
        let id = candidate(counter);
        if routing.account_shard(id) == shard {
            return id;
        }
        counter += 1;
    }
}
