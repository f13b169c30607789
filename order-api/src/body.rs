//! Reads a JSON body into a type, within limits, and names the field that does not fit.

use crate::problem::{FieldError, Problem, ProblemKind};
use crate::state::App;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use std::time::Duration;

/// The body of a request, `application/json` within the limits of size and time.
pub(crate) async fn json<T: DeserializeOwned>(request: Request, app: &App) -> Result<T, Problem> {
    require_json(request.headers())?;
    parse(&read(request, app).await?)
}

/// Reads and forgets the body of a request that needs none.
pub(crate) async fn discard(request: Request, app: &App) -> Result<(), Problem> {
    read(request, app).await.map(drop)
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let refuse = |detail| Err(Problem::new(ProblemKind::UnsupportedMediaType, detail));
    if headers.contains_key(header::CONTENT_ENCODING) {
        return refuse("a compressed body is not taken");
    }
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str());
    let kind = kind.and_then(Result::ok).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    refuse("the Content-Type header must be application/json")
}

async fn read(request: Request, app: &App) -> Result<Bytes, Problem> {
    let bytes_max = app.settings.http.body_bytes_max;
    let timeout = Duration::from_millis(app.settings.http.body_timeout_ms);
    let body = Limited::new(request.into_body(), bytes_max);
    let collected = tokio::time::timeout(timeout, body.collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.downcast_ref::<LengthLimitError>().is_some() => Err(Problem::new(
            ProblemKind::BodyTooLarge,
            format!("a body may have at most {bytes_max} bytes"),
        )),
        Ok(Err(_)) => Err(Problem::new(ProblemKind::BadRequest, "the body broke off")),
        Err(_) => Err(Problem::new(
            ProblemKind::BodyTimeout,
            format!("the body must arrive within {} ms", timeout.as_millis()),
        )),
    }
}

/// Parses JSON; the error names the field by its pointer.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        field_problem(pointer, error.inner())
    })?;
    deserializer
        .end()
        .map_err(|error| field_problem(String::new(), &error))?;
    Ok(value)
}

fn field_problem(mut pointer: String, error: &serde_json::Error) -> Problem {
    let mut detail = error.to_string();
    if let Some(name) = field_named_in(&detail) {
        let named = format!("/{name}");
        if !pointer.ends_with(&named) {
            pointer.push_str(&named);
        }
    }
    if error.is_data()
        && let Some(place) = detail.rfind(" at line ")
    {
        detail.truncate(place);
    }
    Problem::fields(vec![FieldError { pointer, detail }])
}

/// A missing, unknown or repeated field is named in serde's message only.
fn field_named_in(detail: &str) -> Option<&str> {
    let kinds = ["missing field `", "unknown field `", "duplicate field `"];
    let rest = kinds.iter().find_map(|kind| detail.strip_prefix(kind))?;
    rest.split('`').next()
}

/// RFC 6901.
fn pointer(path: &Path) -> String {
    let mut text = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => text.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                text.push('/');
                text.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Unknown => {}
        }
    }
    text
}
