//! RFC 9457 problems. Which status, code and title an error has stands in `problem_kind.rs`.
//!
//! A handler returns a [`Problem`]; the outermost layer gives it the request id and writes it as
//! `application/problem+json` (see [`crate::request_context`]).

pub(crate) use crate::problem_kind::ProblemKind;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// A field that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// RFC 6901 pointer into the body (`/amount`), or the name of a parameter or header.
    #[schema(example = "/amount")]
    pub(crate) pointer: String,
    /// What is wrong with it.
    #[schema(example = "must be 1 to 1000000000000 minor units")]
    pub(crate) detail: String,
}

/// An error on its way to the client.
#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: ProblemKind,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// The body of every error, `application/problem+json` (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// Names the kind of problem; ends in `code`.
    #[serde(rename = "type")]
    #[schema(example = "urn:holdfast:problem:invalid_body")]
    type_uri: String,
    /// The kind of problem, for people.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// This occurrence, for people.
    detail: &'a str,
    /// The kind of problem, for programs; never changes.
    #[schema(example = "invalid_body")]
    code: &'a str,
    /// The request's id, as in the `x-request-id` header.
    request_id: &'a str,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}

impl Problem {
    /// A problem of this kind; `detail` is for people.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            headers: Vec::new(),
        }))
    }

    /// A body with these bad fields.
    pub(crate) fn fields(errors: Vec<FieldError>) -> Self {
        Self::new(ProblemKind::InvalidBody, summary(&errors)).with_errors(errors)
    }

    /// A bad query parameter.
    pub(crate) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let errors = vec![FieldError {
            pointer: name.to_owned(),
            detail: detail.into(),
        }];
        Self::new(ProblemKind::InvalidParameter, summary(&errors)).with_errors(errors)
    }

    /// The same with the fields that are at fault.
    pub(crate) fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    /// The same with a header. A value that no header can carry is left out.
    pub(crate) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.0.headers.push((name, value));
        }
        self
    }

    /// The same with a hint when to try again.
    pub(crate) fn retry_after_s(self, seconds: u64) -> Self {
        self.with_header(header::RETRY_AFTER, &seconds.to_string())
    }

    /// What went wrong.
    pub(crate) fn kind(&self) -> ProblemKind {
        self.0.kind
    }

    /// The body's JSON.
    pub(crate) fn body(&self, request_id: &str) -> Vec<u8> {
        let (status, code, title) = self.0.kind.facts();
        let body = ProblemBody {
            type_uri: format!("urn:holdfast:problem:{code}"),
            title,
            status: status.as_u16(),
            detail: &self.0.detail,
            code,
            request_id,
            errors: &self.0.errors,
        };
        // Texts and numbers always serialise.
        serde_json::to_vec(&body).unwrap_or_default()
    }

    /// A problem for an error status that some layer answered by itself.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let kind = match status {
            StatusCode::NOT_FOUND => ProblemKind::RouteNotFound,
            StatusCode::METHOD_NOT_ALLOWED => ProblemKind::MethodNotAllowed,
            StatusCode::REQUEST_TIMEOUT => ProblemKind::BodyTimeout,
            StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::BodyTooLarge,
            StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemKind::UnsupportedMediaType,
            StatusCode::SERVICE_UNAVAILABLE => ProblemKind::Overloaded,
            other if other.is_client_error() => ProblemKind::BadRequest,
            _ => ProblemKind::Internal,
        };
        Self::new(kind, kind.facts().2)
    }
}

fn summary(errors: &[FieldError]) -> String {
    let one = |error: &FieldError| format!("{}: {}", error.pointer, error.detail);
    errors.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl IntoResponse for Problem {
    /// The status and headers now, the problem itself as an extension: its body is written by the
    /// layer that knows the request id.
    fn into_response(self) -> Response {
        let mut response = self.0.kind.facts().0.into_response();
        for (name, value) in &self.0.headers {
            response.headers_mut().insert(name.clone(), value.clone());
        }
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_its_fields_code_and_request() {
        let problem = Problem::fields(vec![FieldError {
            pointer: "/amount".into(),
            detail: "must be positive".into(),
        }]);
        let body: serde_json::Value = serde_json::from_slice(&problem.body("r-1")).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:holdfast:problem:invalid_body",
                "title": "The body is not valid",
                "status": 400,
                "detail": "/amount: must be positive",
                "code": "invalid_body",
                "request_id": "r-1",
                "errors": [{ "pointer": "/amount", "detail": "must be positive" }],
            })
        );
    }
}
