//! `/openapi.json` (3.1) and `/docs`, both without the network.

use crate::problem::ProblemBody;
use axum::Router;
use axum::http::header;
use axum::routing::get;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::Response;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi as Document, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi};
use utoipa_swagger_ui::{Config, SwaggerUi};

const DOCUMENT_PATH: &str = "/openapi.json";

/// Everything but the operations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Holdfast",
        description = "Payment orders: taken once, paid once, found again. Amounts are integers of minor units. Errors are `application/problem+json` with a stable `code`.",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "orders", description = "Place an order and see what came of it"),
        (name = "accounts", description = "Open, fund, show and close accounts"),
        (name = "search", description = "Find orders by what is in them"),
    ),
    components(schemas(ProblemBody)),
    security(("bearer" = [])),
    modifiers(&BearerTokens),
)]
pub(super) struct Frame;

struct BearerTokens;

impl Modify for BearerTokens {
    fn modify(&self, document: &mut Document) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .description(Some(
                "EdDSA or RS256; claims `tenant`, `merchant`, `scope`, `jti`, `exp`",
            ))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// What any operation may answer besides its own responses.
const COMMON: [(&str, &str); 6] = [
    (
        "400",
        "A parameter, header or the body is not valid; `errors` names what",
    ),
    ("401", "`token_missing` or `token_invalid`"),
    ("403", "`scope_missing` or `merchant_required`"),
    ("408", "`body_timeout`"),
    ("500", "`internal_error`"),
    (
        "503",
        "`overloaded` or `request_timeout`: try again after `Retry-After`",
    ),
];

/// The served text: the operations with what all of them may answer.
pub(super) fn document(openapi: &Document) -> String {
    let mut document = openapi.clone();
    for item in document.paths.paths.values_mut() {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            add_common_responses(operation);
        }
    }
    // A document of texts always serialises.
    document.to_pretty_json().unwrap_or_default()
}

fn add_common_responses(operation: &mut Operation) {
    for (status, description) in COMMON {
        let responses = &mut operation.responses.responses;
        responses
            .entry(status.to_owned())
            .or_insert_with(|| problem(description).into());
    }
}

fn problem(description: &str) -> Response {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", content)
        .build()
}

/// The routes of the document and of the pages that show it.
pub(crate) fn router(openapi: &Document) -> Router {
    let text: bytes::Bytes = document(openapi).into();
    let serve = move || {
        let text = text.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], text) }
    };
    Router::new()
        .route(DOCUMENT_PATH, get(serve))
        .merge(SwaggerUi::new("/docs").config(Config::from(DOCUMENT_PATH)))
}
