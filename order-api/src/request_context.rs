//! What every request carries: its id, its trace, its figures; and the one place where a problem
//! becomes a body. This is the outermost layer, so that no answer leaves without it.

use crate::problem::{Problem, ProblemKind};
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use std::sync::Arc;
use std::time::Instant;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: &str = "traceparent";
const REQUEST_ID_CHARS_MAX: usize = 128;

/// The request's id and trace, in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct RequestContext(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    request_id: String,
    traceparent: String,
}

impl RequestContext {
    /// Echoes a readable `x-request-id` and continues a readable `traceparent`; makes what is
    /// missing from the randomness given.
    pub(crate) fn of(headers: &HeaderMap, random: (u128, u64)) -> Self {
        let given = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let readable = |id: &&str| {
            (1..=REQUEST_ID_CHARS_MAX).contains(&id.len())
                && id.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let request_id = given(REQUEST_ID.as_str()).filter(readable);
        let request_id = request_id.map_or_else(|| format!("{:032x}", random.0), str::to_owned);
        let (trace_id, flags) = given(TRACEPARENT)
            .and_then(parse_traceparent)
            .unwrap_or((random.0.max(1), "00"));
        let traceparent = format!("00-{trace_id:032x}-{:016x}-{flags}", random.1.max(1));
        Self(Arc::new(Inner {
            request_id,
            traceparent,
        }))
    }

    /// As in the `x-request-id` header.
    pub(crate) fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// W3C trace context of this request, for those it asks in turn.
    pub(crate) fn traceparent(&self) -> &str {
        &self.0.traceparent
    }
}

/// The trace id and flags of a W3C `traceparent`; versions above 00 may have more parts.
fn parse_traceparent(text: &str) -> Option<(u128, &str)> {
    let lower_hex = |part: &str| {
        part.bytes()
            .all(|b| b.is_ascii_hexdigit() && !b.is_ascii_uppercase())
    };
    let mut parts = text.split('-');
    let (version, trace, span, flags) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lengths = (version.len(), trace.len(), span.len(), flags.len());
    if lengths != (2, 32, 16, 2) || version == "ff" || (version == "00" && parts.next().is_some()) {
        return None;
    }
    if ![version, trace, span, flags].into_iter().all(lower_hex) {
        return None;
    }
    let trace = u128::from_str_radix(trace, 16).ok().filter(|id| *id != 0)?;
    u64::from_str_radix(span, 16).ok().filter(|id| *id != 0)?;
    Some((trace, flags))
}

/// The outermost layer: context in, id and problem body out, one measurement.
pub(crate) async fn layer(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let context = RequestContext::of(request.headers(), rand::random());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    request.extensions_mut().insert(context.clone());
    let mut response = finish(next.run(request).await, &context);
    if let Ok(id) = HeaderValue::from_str(context.request_id()) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    metrics::histogram!(
        "http_request_duration_seconds",
        "method" => method_label(&method),
        "route" => route.to_owned(),
        "status" => response.status().as_u16().to_string()
    )
    .record(started.elapsed());
    response
}

/// Any text may stand as a method; only the known ones become labels.
fn method_label(method: &axum::http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

fn finish(response: Response, context: &RequestContext) -> Response {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let is_json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    let problem = match response.extensions().get::<Problem>() {
        Some(problem) => problem.clone(),
        // The probes answer 503 with a body of their own.
        None if !is_error || is_json => return response,
        None => Problem::of_status(status),
    };
    if problem.kind() == ProblemKind::Internal {
        tracing::error!(
            request.id = context.request_id(),
            "A request failed on our side."
        );
    }
    let (mut parts, _) = response.into_parts();
    parts.headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(problem.body(context.request_id())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(name: &'static str, value: &str) -> RequestContext {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).unwrap());
        RequestContext::of(&headers, (7, 9))
    }

    #[test]
    fn a_readable_request_id_is_echoed_and_another_replaced() {
        assert_eq!(context("x-request-id", "abc-1").request_id(), "abc-1");
        for bad in ["", "a b", &"x".repeat(129)] {
            assert_eq!(
                context("x-request-id", bad).request_id(),
                format!("{:032x}", 7)
            );
        }
    }

    #[test]
    fn a_trace_is_continued_under_a_new_span_or_begun() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(
            context("traceparent", given).traceparent(),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000009-01"
        );
        for bad in [
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "nonsense",
        ] {
            let made = format!("00-{:032x}-{:016x}-00", 7, 9);
            assert_eq!(context("traceparent", bad).traceparent(), made, "{bad}");
        }
    }
}
