//! Who asks: a bearer token becomes an [`Identity`], or the request is refused.

mod keys;

pub(crate) use keys::KeySet;

use crate::problem::{Problem, ProblemKind};
use crate::remembered::Remembered;
use crate::request_context::RequestContext;
use crate::state::App;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use store::audit::{Author, Via};

/// Section `[auth]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSettings {
    /// Holds a public key `<kid>.pub.pem` (Ed25519 or RSA) for each key id.
    pub keys_dir: PathBuf,
    /// A token's `iss` must be one of these.
    pub issuers: Vec<String>,
    /// The `aud` a token must have.
    pub audience: String,
    /// How far clocks may differ, in seconds.
    pub leeway_s: u64,
    /// Most verified tokens remembered until they expire.
    pub verified_tokens_max: usize,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    OrdersWrite,
    OrdersRead,
    AccountsWrite,
    AccountsRead,
    FundingWrite,
    SearchRead,
}

impl Scope {
    /// As it stands in the token's `scope`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::OrdersWrite => "orders:write",
            Self::OrdersRead => "orders:read",
            Self::AccountsWrite => "accounts:write",
            Self::AccountsRead => "accounts:read",
            Self::FundingWrite => "funding:write",
            Self::SearchRead => "search:read",
        }
    }
}

/// Whom a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The marketplace or shop.
    pub(crate) tenant: String,
    /// One of its merchants; none is the back office, who sees the whole tenant.
    pub(crate) merchant: Option<String>,
    /// Who holds the token, as its issuer says, if it does.
    subject: Option<String>,
    /// The token itself: its key's id and its own, `kid/jti`.
    token: String,
    /// Scopes, separated by spaces.
    scope: String,
    /// Unix seconds.
    expires_at: u64,
}

impl Identity {
    /// Refuses unless the token has this scope.
    pub(crate) fn require(&self, scope: Scope) -> Result<(), Problem> {
        if self.scope.split(' ').any(|given| given == scope.as_str()) {
            return Ok(());
        }
        let name = scope.as_str();
        let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{name}\"");
        let detail = format!("this needs the scope {name}");
        Err(Problem::new(ProblemKind::ScopeMissing, detail)
            .with_header(header::WWW_AUTHENTICATE, &challenge))
    }

    /// The merchant, where only a merchant may ask.
    pub(crate) fn require_merchant(&self) -> Result<&str, Problem> {
        self.merchant.as_deref().ok_or_else(|| {
            Problem::new(
                ProblemKind::MerchantRequired,
                "this is done for a merchant: the token needs the claim `merchant`",
            )
        })
    }

    /// Whether what belongs to (tenant, merchant or none) exists for this token.
    pub(crate) fn sees(&self, tenant: &str, merchant: Option<&str>) -> bool {
        self.tenant == tenant && (self.merchant.is_none() || self.merchant.as_deref() == merchant)
    }
}

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("the Authorization header must be `Bearer` and a token")]
    Missing,
    #[error("the token names no known key")]
    UnknownKey,
    #[error("the token has expired")]
    Expired,
    #[error("the claim `{0}` is missing or not valid")]
    Claim(&'static str),
    #[error("the token is malformed or its signature is wrong")]
    Invalid,
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        let (kind, challenge) = match error {
            TokenError::Missing => (ProblemKind::TokenMissing, "Bearer realm=\"holdfast\""),
            TokenError::UnknownKey
            | TokenError::Expired
            | TokenError::Claim(_)
            | TokenError::Invalid => (
                ProblemKind::TokenInvalid,
                "Bearer realm=\"holdfast\", error=\"invalid_token\"",
            ),
        };
        Self::new(kind, error.to_string()).with_header(header::WWW_AUTHENTICATE, challenge)
    }
}

/// Checks tokens; a signature that was checked once is remembered until the token expires.
pub(crate) struct Authenticator {
    keys: KeySet,
    verified: Mutex<Remembered<Box<str>, Arc<Identity>>>,
    leeway_s: u64,
}

impl Authenticator {
    pub(crate) fn new(keys: KeySet, settings: &AuthSettings) -> Self {
        Self {
            keys,
            verified: Mutex::new(Remembered::new(settings.verified_tokens_max)),
            leeway_s: settings.leeway_s,
        }
    }

    /// Whom the request's token names, at this time in Unix seconds.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        now: u64,
    ) -> Result<Arc<Identity>, TokenError> {
        let token = bearer(headers)?;
        if let Some(identity) = self.remembered(token) {
            return if identity.expires_at.saturating_add(self.leeway_s) > now {
                Ok(identity)
            } else {
                Err(TokenError::Expired)
            };
        }
        let identity = Arc::new(self.keys.verify(token)?);
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.insert(token.into(), Arc::clone(&identity));
        Ok(identity)
    }

    fn remembered(&self, token: &str) -> Option<Arc<Identity>> {
        let mut verified = self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        verified.get(token)
    }
}

fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(TokenError::Missing)?;
    if values.next().is_some() {
        return Err(TokenError::Missing);
    }
    let text = value.to_str().map_err(|_| TokenError::Missing)?;
    let (scheme, token) = text.split_once(' ').ok_or(TokenError::Missing)?;
    if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() {
        Ok(token.trim())
    } else {
        Err(TokenError::Missing)
    }
}

/// The identity of the request, for a handler.
pub(crate) struct Caller {
    identity: Arc<Identity>,
    request_id: String,
}

impl Caller {
    /// In whose name what is asked stands in the audit trail.
    pub(crate) fn author(&self) -> Author {
        let Identity { subject, token, .. } = &*self.identity;
        Author {
            actor: subject.clone().unwrap_or_else(|| format!("token {token}")),
            via: Via::Api,
            token: Some(token.clone()),
            request_id: self.request_id.clone(),
        }
    }
}

impl Deref for Caller {
    type Target = Identity;
    fn deref(&self) -> &Identity {
        &self.identity
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let now = jsonwebtoken::get_current_timestamp();
        let identity = app.authenticator.authenticate(&parts.headers, now)?;
        // The outermost layer has put it there.
        let context = parts.extensions.get::<RequestContext>();
        let request_id = context.map_or("", RequestContext::request_id).to_owned();
        Ok(Self {
            identity,
            request_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(merchant: Option<&str>) -> Identity {
        Identity {
            tenant: "demo".into(),
            merchant: merchant.map(str::to_owned),
            subject: None,
            token: "k/1".into(),
            scope: "orders:read orders:write".into(),
            expires_at: 0,
        }
    }

    #[test]
    fn a_merchant_sees_its_own_and_the_back_office_its_tenant() {
        assert!(identity(Some("shop")).sees("demo", Some("shop")));
        assert!(!identity(Some("shop")).sees("demo", Some("other")));
        assert!(!identity(Some("shop")).sees("demo", None));
        assert!(identity(None).sees("demo", Some("other")));
        assert!(!identity(None).sees("elsewhere", Some("shop")));
    }

    #[test]
    fn a_scope_is_a_whole_word() {
        assert!(identity(None).require(Scope::OrdersWrite).is_ok());
        let mut caller = identity(None);
        caller.scope = "orders:writes xorders:write".into();
        assert!(caller.require(Scope::OrdersWrite).is_err());
    }
}
