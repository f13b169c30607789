//! `POST /v1/accounts/{id}/funding`: money from outside into an account.

use super::accounts::{account_id, key_reused, not_found, store_scope, to_its_end};
use super::idempotency_key;
use crate::auth::{Caller, Scope};
use crate::body;
use crate::order_body::{amount_rule, field};
use crate::order_view::shown_time;
use crate::problem::{Problem, ProblemBody, ProblemKind};
use crate::state::App;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::{Currency, minor_units_in_range};
use serde::{Deserialize, Serialize};
use store::{Funded, Funding, FundingReceipt, FundingRefusal};
use utoipa::ToSchema;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// Money to put into an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MoneyToAdd {
    /// Minor units of the currency, an integer.
    #[schema(minimum = 1, maximum = 1_000_000_000_000_i64, example = 100_000)]
    amount: i64,
    /// ISO 4217; the account's own.
    #[schema(value_type = String, pattern = "^[A-Z]{3}$", example = "USD")]
    currency: Currency,
}

/// What a funding did.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Funding)]
pub(crate) struct FundingView {
    /// Names it.
    id: String,
    /// The account whose balance grew.
    account: String,
    /// Minor units.
    amount: i64,
    /// ISO 4217.
    currency: String,
    /// The account's ledger balance right after, in minor units.
    balance_after: i64,
    /// When it was booked.
    #[schema(format = DateTime)]
    booked_at: String,
}

/// Puts money into an account, once however often it is repeated.
#[utoipa::path(
    post,
    path = "/v1/accounts/{id}/funding",
    tag = "accounts",
    params(
        ("id" = String, Path, description = "`acct_` and 32 hexadecimal digits"),
        ("Idempotency-Key" = String, Header, description = "Your own name for this funding"),
    ),
    request_body = MoneyToAdd,
    responses(
        (status = 201, description = "Booked; `Idempotent-Replayed: true` if it was booked before", body = FundingView),
        (status = 404, description = "`account_not_found`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "`account_closed`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "`body_too_large`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "`unsupported_media_type`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "`currency_mismatch`, `limit_reached` or `idempotency_key_reused`", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`store_unavailable`: repeat it with the same key", body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn fund_account(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    request: Request,
) -> Result<Response, Problem> {
    caller.require(Scope::FundingWrite)?;
    let account = account_id(&id)?;
    let key = idempotency_key::required(request.headers())?;
    let merchant = caller.merchant.as_deref().unwrap_or("");
    let xid = app
        .id_key
        .funding_xid(&caller.tenant, merchant, account, key);
    let money: MoneyToAdd = body::json(request, &app).await?;
    if !minor_units_in_range(money.amount) {
        return Err(amount_out_of_range());
    }
    let funding = Funding {
        xid,
        account,
        amount: money.amount,
        currency: money.currency,
    };
    let accounts = app.accounts.by(caller.author());
    let funded = to_its_end(&app, async move {
        accounts.fund(store_scope(&caller), &funding).await
    });
    let (receipt, replayed) = match funded.await? {
        Funded::Booked(receipt) => (receipt, false),
        Funded::Replayed(receipt) => (receipt, true),
        Funded::Conflict => return Err(key_reused()),
        Funded::Refused(refusal) => return Err(refused(refusal)),
    };
    let mut response = (StatusCode::CREATED, Json(FundingView::of(&receipt))).into_response();
    if replayed {
        let yes = HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, yes);
    }
    Ok(response)
}

impl FundingView {
    fn of(receipt: &FundingReceipt) -> Self {
        Self {
            id: receipt.xid.to_string(),
            account: receipt.account.to_string(),
            amount: receipt.amount,
            currency: receipt.currency.to_string(),
            balance_after: receipt.balance_after,
            booked_at: shown_time(receipt.booked_at),
        }
    }
}

fn refused(refusal: FundingRefusal) -> Problem {
    match refusal {
        FundingRefusal::AccountNotFound => not_found(),
        FundingRefusal::AccountClosed => Problem::new(
            ProblemKind::AccountClosed,
            "a closed account takes no money from outside",
        ),
        FundingRefusal::CurrencyMismatch(currency) => {
            let detail = format!("the account is of {currency}");
            Problem::new(ProblemKind::CurrencyMismatch, detail.clone())
                .with_errors(vec![field("/currency", detail)])
        }
        FundingRefusal::AmountOutOfRange => amount_out_of_range(),
        FundingRefusal::BalanceLimit => Problem::new(
            ProblemKind::LimitReached,
            "the account may not hold so much money",
        ),
    }
}

fn amount_out_of_range() -> Problem {
    Problem::fields(vec![field("/amount", amount_rule())])
}
