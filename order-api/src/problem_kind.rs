//! The one place that knows which HTTP status an error has.

use axum::http::StatusCode;

/// Makes the kinds and what is said of each from one table.
macro_rules! problem_kinds {
    ($($kind:ident: $status:ident, $code:literal, $title:literal;)*) => {
        /// What went wrong, by meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum ProblemKind {
            $($kind,)*
        }

        impl ProblemKind {
            /// Status, stable code, title.
            pub(crate) const fn facts(self) -> (StatusCode, &'static str, &'static str) {
                match self {
                    $(Self::$kind => (StatusCode::$status, $code, $title),)*
                }
            }
        }
    };
}

problem_kinds! {
    BadRequest: BAD_REQUEST, "bad_request", "The request cannot be read";
    InvalidBody: BAD_REQUEST, "invalid_body", "The body is not valid";
    InvalidParameter: BAD_REQUEST, "invalid_parameter", "A query parameter is not valid";
    IdempotencyKeyMissing: BAD_REQUEST, "idempotency_key_missing", "The Idempotency-Key header is required";
    IdempotencyKeyInvalid: BAD_REQUEST, "idempotency_key_invalid", "The Idempotency-Key header is not valid";
    CursorInvalid: BAD_REQUEST, "cursor_invalid", "The cursor is not valid";
    CursorExpired: GONE, "cursor_expired", "The cursor has expired";
    TokenMissing: UNAUTHORIZED, "token_missing", "A bearer token is required";
    TokenInvalid: UNAUTHORIZED, "token_invalid", "The token is not valid";
    ScopeMissing: FORBIDDEN, "scope_missing", "The token lacks a scope";
    MerchantRequired: FORBIDDEN, "merchant_required", "The token must name a merchant";
    RouteNotFound: NOT_FOUND, "not_found", "There is nothing here";
    OrderNotFound: NOT_FOUND, "order_not_found", "No such order";
    AccountNotFound: NOT_FOUND, "account_not_found", "No such account";
    MethodNotAllowed: METHOD_NOT_ALLOWED, "method_not_allowed", "The method is not allowed here";
    BodyTimeout: REQUEST_TIMEOUT, "body_timeout", "The body took too long to arrive";
    BodyTooLarge: PAYLOAD_TOO_LARGE, "body_too_large", "The body is too large";
    UnsupportedMediaType: UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", "The body must be application/json";
    AccountClosed: CONFLICT, "account_closed", "The account is closed";
    CurrencyMismatch: UNPROCESSABLE_ENTITY, "currency_mismatch", "The account is of another currency";
    IdempotencyKeyInFlight: CONFLICT, "idempotency_key_in_flight", "Another request with this Idempotency-Key is being accepted";
    IdempotencyKeyReused: UNPROCESSABLE_ENTITY, "idempotency_key_reused", "The Idempotency-Key was used with another body";
    LimitReached: UNPROCESSABLE_ENTITY, "limit_reached", "The balance would leave its limits";
    Overloaded: SERVICE_UNAVAILABLE, "overloaded", "Too many requests are in hand";
    RequestTimeout: SERVICE_UNAVAILABLE, "request_timeout", "The request took too long";
    NotEnqueued: SERVICE_UNAVAILABLE, "not_enqueued", "The order was not taken; nothing will happen";
    OutcomeUnknown: SERVICE_UNAVAILABLE, "outcome_unknown", "It is not known whether the order was taken";
    StoreUnavailable: SERVICE_UNAVAILABLE, "store_unavailable", "A store cannot be reached";
    AuditUnavailable: SERVICE_UNAVAILABLE, "audit_unavailable", "The audit trail cannot be written";
    SearchUnavailable: SERVICE_UNAVAILABLE, "search_unavailable", "Search cannot be reached";
    Internal: INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong on our side";
}
