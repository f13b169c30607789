//! `/v1/accounts`: open, show, close.

use super::idempotency_key;
use crate::auth::{Caller, Identity, Scope};
use crate::body;
use crate::order_body::field;
use crate::order_view::shown_time;
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::state::App;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use domain::{
    AccountId, AccountKind, AccountStatus, BodyDigest, Currency, NAME_CHARS_MAX, check_text,
};
use serde::{Deserialize, Serialize};
use store::{Account, NewAccount, Opened, StoreError};
use utoipa::ToSchema;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// An account to open.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountToOpen {
    /// Whose money it will hold: a `customer` may be charged by every merchant of the tenant, a
    /// `merchant` account only by its own.
    kind: Kind,
    /// ISO 4217.
    #[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "USD")]
    currency: Currency,
    /// For people.
    #[schema(max_length = 200)]
    name: String,
}

/// Kinds that may be opened.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Customer,
    Merchant,
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub(crate) struct AccountView {
    /// Names it.
    #[schema(example = "acct_01890a5d7c3e7b1f8a2b4c6d8e0f1a2b")]
    id: String,
    /// `customer` or `merchant`.
    #[schema(value_type = String, example = "customer")]
    kind: AccountKind,
    /// The merchant it belongs to, if any.
    merchant: Option<String>,
    /// ISO 4217.
    currency: String,
    /// For people.
    name: String,
    /// `open` or `closed`.
    #[schema(value_type = String, example = "open")]
    status: AccountStatus,
    /// Minor units: the sum of its entries.
    ledger_balance: i64,
    /// Minor units reserved by orders that are not decided yet.
    held: i64,
    /// Minor units that new orders may still reserve.
    available_balance: i64,
    /// When it was opened.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was closed.
    #[schema(format = DateTime)]
    closed_at: Option<String>,
}

/// Opens an account with a balance of zero.
#[utoipa::path(
    post,
    path = "/v1/accounts",
    tag = "accounts",
    params(("Idempotency-Key" = Option<String>, Header, description = "Repeating it with the same body answers the same account")),
    request_body = AccountToOpen,
    responses(
        (status = 201, description = "The account; `Idempotent-Replayed: true` if it was opened before", body = AccountView),
        (status = 413, description = "`body_too_large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`idempotency_key_reused`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`store_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn open_account(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::AccountsWrite)?;
    let key = idempotency_key::optional(request.headers())?.map(str::to_owned);
    let to_open: AccountToOpen = body::json(request, &app).await?;
    let new = new_account(&app, &caller, key.as_deref(), to_open)?;
    let accounts = app.accounts.by(caller.author());
    let opened = to_its_end(&app, async move { accounts.open(&new).await });
    let (account, replayed) = match opened.await? {
        Opened::New(account) => (account, false),
        Opened::Replayed(account) => (account, true),
        Opened::Conflict => return Err(key_reused()),
    };
    let location = format!("/v1/accounts/{}", account.id);
    let view = Json(AccountView::of(&account));
    let headers = [(header::LOCATION, location)];
    let mut response = (StatusCode::CREATED, headers, view).into_response();
    if replayed {
        let yes = axum::http::HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, yes);
    }
    Ok(response)
}

/// Shows an account.
#[utoipa::path(
    get,
    path = "/v1/accounts/{id}",
    tag = "accounts",
    params(("id" = String, Path, description = "`acct_` and 32 hexadecimal digits")),
    responses(
        (status = 200, description = "The account", body = AccountView),
        (status = 404, description = "`account_not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`store_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn get_account(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<AccountView>, Problem> {
    caller.require(Scope::AccountsRead)?;
    let id = account_id(&id)?;
    let found = app.accounts.find(store_scope(&caller), id).await;
    let account = found.map_err(unavailable)?.ok_or_else(not_found)?;
    Ok(Json(AccountView::of(&account)))
}

/// Closes an account for new orders. What was reserved before still settles.
#[utoipa::path(
    post,
    path = "/v1/accounts/{id}/close",
    tag = "accounts",
    params(("id" = String, Path, description = "`acct_` and 32 hexadecimal digits")),
    responses(
        (status = 200, description = "The account, closed now or before", body = AccountView),
        (status = 404, description = "`account_not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`store_unavailable`", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn close_account(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<AccountView>, Problem> {
    caller.require(Scope::AccountsWrite)?;
    let id = account_id(&id)?;
    body::discard(request, &app).await?;
    let accounts = app.accounts.by(caller.author());
    let closed = to_its_end(&app, async move {
        accounts.close(store_scope(&caller), id).await
    });
    let account = closed.await?.ok_or_else(not_found)?;
    Ok(Json(AccountView::of(&account)))
}

fn new_account(
    app: &App,
    caller: &Identity,
    key: Option<&str>,
    to_open: AccountToOpen,
) -> Result<NewAccount, Problem> {
    let AccountToOpen {
        kind,
        currency,
        name,
    } = to_open;
    if name.trim().is_empty() {
        return Err(Problem::fields(vec![field("/name", "must not be empty")]));
    }
    check_text(&name, NAME_CHARS_MAX)
        .map_err(|error| Problem::fields(vec![field("/name", error.to_string())]))?;
    let kind = match kind {
        Kind::Customer => AccountKind::Customer,
        Kind::Merchant => {
            caller.require_merchant()?;
            AccountKind::Merchant
        }
    };
    let merchant = caller.merchant.as_deref().unwrap_or("");
    let parts = [
        &[kind.code()][..],
        currency.as_str().as_bytes(),
        name.as_bytes(),
    ];
    let body_digest = key.map(|_| BodyDigest::of_parts(parts));
    let id = match key {
        Some(key) => app.id_key.account_id(&caller.tenant, merchant, key),
        None => AccountId::new_v7(unix_ms(), rand::random()),
    };
    Ok(NewAccount {
        id,
        tenant: caller.tenant.clone(),
        merchant: caller.merchant.clone(),
        kind,
        currency,
        name,
        body_digest,
    })
}

fn unix_ms() -> u64 {
    u64::try_from(Utc::now().timestamp_millis()).unwrap_or(0)
}

impl AccountView {
    fn of(account: &Account) -> Self {
        Self {
            id: account.id.to_string(),
            kind: account.kind,
            merchant: account.merchant.clone(),
            currency: account.currency.to_string(),
            name: account.name.clone(),
            status: account.status,
            ledger_balance: account.ledger_balance,
            held: account.held,
            available_balance: account.available_balance(),
            created_at: shown_time(account.created_at),
            closed_at: account.closed_at.map(shown_time),
        }
    }
}

/// Whose accounts the caller may see.
pub(super) fn store_scope(caller: &Identity) -> store::Scope<'_> {
    store::Scope {
        tenant: &caller.tenant,
        merchant: caller.merchant.as_deref(),
    }
}

/// A malformed id names nothing.
pub(super) fn account_id(text: &str) -> Result<AccountId, Problem> {
    text.parse().map_err(|_| not_found())
}

pub(super) fn not_found() -> Problem {
    Problem::new(ProblemKind::AccountNotFound, "there is no such account")
}

pub(super) fn key_reused() -> Problem {
    Problem::new(
        ProblemKind::IdempotencyKeyReused,
        "what was done first under this key stands untouched; use a new key for something else",
    )
}

/// Changes an account in a task of its own: a client that hangs up, or a request whose time is up,
/// leaves nothing half done on a connection.
pub(super) async fn to_its_end<T: Send + 'static>(
    app: &App,
    change: impl Future<Output = Result<T, StoreError>> + Send + 'static,
) -> Result<T, Problem> {
    let ended = app.tasks.spawn(change).await;
    let changed = ended.map_err(|error| {
        tracing::error!(%error, "A change of an account broke off.");
        Problem::new(ProblemKind::Internal, "what became of this is not known")
    })?;
    changed.map_err(unavailable)
}

/// What a failed store means for the caller.
pub(super) fn unavailable(error: StoreError) -> Problem {
    match error {
        StoreError::Transient { shard, source } => {
            tracing::warn!(%shard, %source, "A store cannot answer a request.");
            Problem::new(
                ProblemKind::StoreUnavailable,
                "where this is kept cannot be reached now",
            )
            .retry_after_s(1)
        }
        error @ (StoreError::Definite { .. }
        | StoreError::WrongDatabase { .. }
        | StoreError::Settings(_)) => {
            tracing::error!(%error, "A store refuses a request.");
            Problem::new(ProblemKind::Internal, "the store refuses this request")
        }
    }
}
