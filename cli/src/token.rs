//! `holdfast token`: a bearer token for local use, signed with the stack's own key. Who asked for it is in
//! the audit trail before it is printed.

use crate::audit::operator;
use crate::environment::Environment;
use crate::settings::Settings;
use anyhow::Context;
use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::Stores;
use store::audit::{Action, Deed, detail};
use uuid::Uuid;

/// The key id of the stack's own key.
const KEY_ID: &str = "local";
const AUDIENCE: &str = "holdfast";
const ISSUER: &str = "holdfast-local";
/// What a token may do unless its scopes are named. Funding makes money, so it is not among them.
const DEFAULT_SCOPES: [&str; 5] = [
    "orders:write",
    "orders:read",
    "accounts:write",
    "accounts:read",
    "search:read",
];

/// Whose token it is, what it may do, and for how long.
#[derive(Debug, clap::Args)]
pub struct TokenArgs {
    /// The merchant; left out for the back office, who sees the whole tenant.
    #[arg(long)]
    merchant: Option<String>,
    /// The tenant.
    #[arg(long, default_value = "demo")]
    tenant: String,
    /// What it may do; may be repeated. All but funding:write unless given.
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// How long it is good, such as 90s, 15m, 1h or 7d.
    #[arg(long, default_value = "1h", value_parser = parse_duration)]
    ttl: Duration,
}

/// Prints a token, and nothing else, on standard output.
pub async fn run(
    environment: &Environment,
    settings: &Settings,
    args: &TokenArgs,
) -> anyhow::Result<()> {
    let grant = Grant {
        tenant: &args.tenant,
        merchant: args.merchant.as_deref(),
        scopes: args.scopes.iter().map(String::as_str).collect(),
        ttl: args.ttl,
    };
    let claims = claims(&grant, Utc::now().timestamp(), Uuid::new_v4())?;
    let token = Signer::of(environment)?.sign_claims(&claims)?;
    write_down(settings, &claims).await?;
    println!("{token}");
    Ok(())
}

/// Names the token as the entries of whoever uses it name it: `kid/jti`.
async fn write_down(settings: &Settings, claims: &Claims) -> anyhow::Result<()> {
    let deed = Deed {
        tenant: Some(&claims.tenant),
        action: Action::TokenIssued,
        object: format!("{KEY_ID}/{}", claims.jti).into(),
        detail: detail([
            ("merchant", json!(claims.merchant)),
            ("scope", json!(claims.scope)),
            ("expires_at", json!(claims.exp)),
        ]),
    };
    let stores = Stores::connect(&settings.stores)?;
    let written = stores.audit.note(&operator(), &deed).await;
    stores.close().await;
    written.context("no token was made: it cannot be written to the audit trail")
}

/// What a token is to grant.
#[derive(Debug, Clone)]
pub struct Grant<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// The merchant; none for the back office.
    pub merchant: Option<&'a str>,
    /// What it may do; empty means [`DEFAULT_SCOPES`].
    pub scopes: Vec<&'a str>,
    /// How long it is good.
    pub ttl: Duration,
}

/// The stack's own key.
pub struct Signer {
    key: EncodingKey,
}

#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
struct Claims {
    iss: String,
    aud: String,
    jti: Uuid,
    tenant: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    merchant: Option<String>,
    scope: String,
    iat: i64,
    exp: i64,
}

impl Signer {
    /// The key below the stack's folder.
    pub fn of(environment: &Environment) -> anyhow::Result<Self> {
        Self::read(&key_path(environment.folder()?))
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        let pem = std::fs::read(path).with_context(|| {
            let path = path.display();
            format!("cannot read the signing key {path}: `make up` makes one")
        })?;
        let key = EncodingKey::from_ed_pem(&pem)
            .with_context(|| format!("{} is not an Ed25519 key", path.display()))?;
        Ok(Self { key })
    }

    /// A token that grants this from now on.
    pub fn sign(&self, grant: &Grant<'_>) -> anyhow::Result<String> {
        self.sign_claims(&claims(grant, Utc::now().timestamp(), Uuid::new_v4())?)
    }

    fn sign_claims(&self, claims: &Claims) -> anyhow::Result<String> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(KEY_ID.into());
        Ok(jsonwebtoken::encode(&header, claims, &self.key)?)
    }
}

fn key_path(folder: &Path) -> PathBuf {
    folder.join("secrets/jwt/local.pem")
}

fn claims(grant: &Grant<'_>, now: i64, jti: Uuid) -> anyhow::Result<Claims> {
    domain::check_scope_name(grant.tenant).context("the tenant's name")?;
    if let Some(merchant) = grant.merchant {
        domain::check_scope_name(merchant).context("the merchant's name")?;
    }
    let plain = |scope: &&str| !scope.is_empty() && !scope.contains(char::is_whitespace);
    anyhow::ensure!(
        grant.scopes.iter().all(plain),
        "a scope is one word, such as orders:read"
    );
    let scopes: &[&str] = if grant.scopes.is_empty() {
        &DEFAULT_SCOPES
    } else {
        &grant.scopes
    };
    Ok(Claims {
        iss: ISSUER.into(),
        aud: AUDIENCE.into(),
        jti,
        tenant: grant.tenant.into(),
        merchant: grant.merchant.map(str::to_owned),
        scope: scopes.join(" "),
        iat: now,
        exp: now.saturating_add(i64::try_from(grant.ttl.as_secs())?),
    })
}

/// A whole number and `s`, `m`, `h` or `d`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let problem = || format!("{text:?} is not a duration such as 90s, 15m, 1h or 7d");
    let unit = text.chars().last().ok_or_else(problem)?;
    let seconds_per_unit = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(problem()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| problem())?;
    let seconds = number.checked_mul(seconds_per_unit).ok_or_else(problem)?;
    Ok(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::Engine;
    use jsonwebtoken::{DecodingKey, Validation};

    fn grant() -> Grant<'static> {
        Grant {
            tenant: "demo",
            merchant: Some("shop"),
            scopes: Vec::new(),
            ttl: Duration::from_secs(3_600),
        }
    }

    #[test]
    fn a_token_is_verified_by_the_public_half_of_the_key() {
        let pair = Ed25519KeyPair::generate().unwrap();
        let der = pair.to_pkcs8v1().unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("local.pem");
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        std::fs::write(&path, pem).unwrap();

        let token = Signer::read(&path).unwrap().sign(&grant()).unwrap();
        let header = jsonwebtoken::decode_header(&token).unwrap();
        assert_eq!(
            (header.alg, header.kid.as_deref()),
            (Algorithm::EdDSA, Some("local"))
        );
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&["holdfast"]);
        validation.set_issuer(&["holdfast-local"]);
        let key = DecodingKey::from_ed_der(pair.public_key().as_ref());
        let claims = jsonwebtoken::decode::<Claims>(&token, &key, &validation)
            .unwrap()
            .claims;
        assert_eq!(claims.tenant, "demo");
        assert_eq!(claims.merchant.as_deref(), Some("shop"));
        assert_eq!(claims.exp - claims.iat, 3_600);
    }

    #[test]
    fn funding_is_granted_only_when_it_is_named() {
        let scope_of = |scopes: Vec<&'static str>| {
            let grant = Grant { scopes, ..grant() };
            claims(&grant, 0, Uuid::nil()).unwrap().scope
        };
        assert!(!scope_of(vec![]).contains("funding"));
        assert!(scope_of(vec![]).contains("orders:write orders:read"));
        assert_eq!(
            scope_of(vec!["funding:write", "orders:read"]),
            "funding:write orders:read"
        );
    }

    #[test]
    fn the_back_office_has_no_merchant_claim() {
        let grant = Grant {
            merchant: None,
            ..grant()
        };
        let claims = serde_json::to_value(claims(&grant, 0, Uuid::nil()).unwrap()).unwrap();
        assert!(claims.get("merchant").is_none());
    }

    #[test]
    fn names_that_are_no_names_are_refused() {
        let bad = Grant {
            tenant: "a b",
            ..grant()
        };
        assert!(claims(&bad, 0, Uuid::nil()).is_err());
        let bad = Grant {
            scopes: vec!["a b"],
            ..grant()
        };
        assert!(claims(&bad, 0, Uuid::nil()).is_err());
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("7d"), Ok(Duration::from_secs(604_800)));
        for bad in ["", "1", "h", "-1h", "1w", "1ü", "99999999999999999999d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
