//! The one place that knows which HTTP status an error has.

use axum::http::StatusCode;

/// What went wrong, by meaning. A new kind does not compile until it has a status, code and title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProblemKind {
    BadRequest,
    InvalidBody,
    InvalidParameter,
    IdempotencyKeyMissing,
    IdempotencyKeyInvalid,
    CursorInvalid,
    CursorExpired,
    TokenMissing,
    TokenInvalid,
    ScopeMissing,
    MerchantRequired,
    RouteNotFound,
    OrderNotFound,
    AccountNotFound,
    MethodNotAllowed,
    BodyTimeout,
    BodyTooLarge,
    UnsupportedMediaType,
    AccountClosed,
    CurrencyMismatch,
    IdempotencyKeyInFlight,
    IdempotencyKeyReused,
    LimitReached,
    Overloaded,
    RequestTimeout,
    NotEnqueued,
    OutcomeUnknown,
    StoreUnavailable,
    SearchUnavailable,
    Internal,
}

impl ProblemKind {
    /// Status, stable code, title.
    pub(crate) const fn facts(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::BadRequest => (S::BAD_REQUEST, "bad_request", "The request cannot be read"),
            Self::InvalidBody => (S::BAD_REQUEST, "invalid_body", "The body is not valid"),
            Self::InvalidParameter => (
                S::BAD_REQUEST,
                "invalid_parameter",
                "A query parameter is not valid",
            ),
            Self::IdempotencyKeyMissing => (
                S::BAD_REQUEST,
                "idempotency_key_missing",
                "The Idempotency-Key header is required",
            ),
            Self::IdempotencyKeyInvalid => (
                S::BAD_REQUEST,
                "idempotency_key_invalid",
                "The Idempotency-Key header is not valid",
            ),
            Self::CursorInvalid => (S::BAD_REQUEST, "cursor_invalid", "The cursor is not valid"),
            Self::CursorExpired => (S::GONE, "cursor_expired", "The cursor has expired"),
            Self::TokenMissing => (
                S::UNAUTHORIZED,
                "token_missing",
                "A bearer token is required",
            ),
            Self::TokenInvalid => (S::UNAUTHORIZED, "token_invalid", "The token is not valid"),
            Self::ScopeMissing => (S::FORBIDDEN, "scope_missing", "The token lacks a scope"),
            Self::MerchantRequired => (
                S::FORBIDDEN,
                "merchant_required",
                "The token must name a merchant",
            ),
            Self::RouteNotFound => (S::NOT_FOUND, "not_found", "There is nothing here"),
            Self::OrderNotFound => (S::NOT_FOUND, "order_not_found", "No such order"),
            Self::AccountNotFound => (S::NOT_FOUND, "account_not_found", "No such account"),
            Self::MethodNotAllowed => (
                S::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "The method is not allowed here",
            ),
            Self::BodyTimeout => (
                S::REQUEST_TIMEOUT,
                "body_timeout",
                "The body took too long to arrive",
            ),
            Self::BodyTooLarge => (
                S::PAYLOAD_TOO_LARGE,
                "body_too_large",
                "The body is too large",
            ),
            Self::UnsupportedMediaType => (
                S::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "The body must be application/json",
            ),
            Self::AccountClosed => (S::CONFLICT, "account_closed", "The account is closed"),
            Self::CurrencyMismatch => (
                S::UNPROCESSABLE_ENTITY,
                "currency_mismatch",
                "The account is of another currency",
            ),
            Self::IdempotencyKeyInFlight => (
                S::CONFLICT,
                "idempotency_key_in_flight",
                "Another request with this Idempotency-Key is being accepted",
            ),
            Self::IdempotencyKeyReused => (
                S::UNPROCESSABLE_ENTITY,
                "idempotency_key_reused",
                "The Idempotency-Key was used with another body",
            ),
            Self::LimitReached => (
                S::UNPROCESSABLE_ENTITY,
                "limit_reached",
                "The balance would leave its limits",
            ),
            Self::Overloaded => (
                S::SERVICE_UNAVAILABLE,
                "overloaded",
                "Too many requests are in hand",
            ),
            Self::RequestTimeout => (
                S::SERVICE_UNAVAILABLE,
                "request_timeout",
                "The request took too long",
            ),
            Self::NotEnqueued => (
                S::SERVICE_UNAVAILABLE,
                "not_enqueued",
                "The order was not taken; nothing will happen",
            ),
            Self::OutcomeUnknown => (
                S::SERVICE_UNAVAILABLE,
                "outcome_unknown",
                "It is not known whether the order was taken",
            ),
            Self::StoreUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "store_unavailable",
                "A store cannot be reached",
            ),
            Self::SearchUnavailable => (
                S::SERVICE_UNAVAILABLE,
                "search_unavailable",
                "Search cannot be reached",
            ),
            Self::Internal => (
                S::INTERNAL_SERVER_ERROR,
                "internal_error",
                "Something went wrong on our side",
            ),
        }
    }
}
