//! The public keys, one file a key id, each bound to one algorithm: what the token's own header
//! says about the algorithm is compared, never followed.

use super::{AuthSettings, Identity, TokenError};
use domain::check_scope_name;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;

const FILE_SUFFIX: &str = ".pub.pem";

/// Why the keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeySetError {
    #[error("cannot read the keys in {path}: {source}")]
    Read {
        path: String,
        source: std::io::Error,
    },
    #[error("{0} is neither an Ed25519 nor an RSA public key in PEM")]
    NotAKey(String),
    #[error("there is no key `<kid>{FILE_SUFFIX}` in {0}")]
    Empty(String),
}

/// The keys by their id.
pub(crate) struct KeySet(HashMap<String, BoundKey>);

struct BoundKey {
    key: DecodingKey,
    validation: Validation,
}

/// The claims that count here.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    exp: f64,
    jti: Option<String>,
    sub: Option<String>,
    tenant: Option<String>,
    merchant: Option<String>,
    #[serde(default)]
    scope: String,
}

impl KeySet {
    /// Reads every `<kid>.pub.pem` of the folder.
    pub(crate) fn load(settings: &AuthSettings) -> Result<Self, KeySetError> {
        let shown = |path: &Path| path.display().to_string();
        let failed = |path: &Path| {
            let path = shown(path);
            move |source| KeySetError::Read { path, source }
        };
        let folder = settings.keys_dir.as_path();
        let mut keys = HashMap::new();
        for file in std::fs::read_dir(folder).map_err(failed(folder))? {
            let path = file.map_err(failed(folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let Some(kid) = name.and_then(|name| name.strip_suffix(FILE_SUFFIX)) else {
                continue;
            };
            let pem = std::fs::read(&path).map_err(failed(&path))?;
            let key = BoundKey::from_pem(&pem, settings);
            let key = key.ok_or_else(|| KeySetError::NotAKey(shown(&path)))?;
            keys.insert(kid.to_owned(), key);
        }
        if keys.is_empty() {
            return Err(KeySetError::Empty(shown(folder)));
        }
        Ok(Self(keys))
    }

    /// Whom the token names, once its signature, times, issuer and audience hold.
    pub(super) fn verify(&self, token: &str) -> Result<Identity, TokenError> {
        let header = decode_header(token).map_err(|_| TokenError::Invalid)?;
        if header.crit.is_some_and(|names| !names.is_empty()) {
            return Err(TokenError::Invalid);
        }
        let kid = header.kid.ok_or(TokenError::UnknownKey)?;
        let bound = self.0.get(&kid).ok_or(TokenError::UnknownKey)?;
        let claims = decode::<Claims>(token, &bound.key, &bound.validation)
            .map_err(|error| refusal(error.kind()))?
            .claims;
        identity(claims, &kid)
    }
}

impl BoundKey {
    fn from_pem(pem: &[u8], settings: &AuthSettings) -> Option<Self> {
        let ed25519 = DecodingKey::from_ed_pem(pem).map(|key| (key, Algorithm::EdDSA));
        let rsa = || DecodingKey::from_rsa_pem(pem).map(|key| (key, Algorithm::RS256));
        let (key, algorithm) = ed25519.or_else(|_| rsa()).ok()?;
        let mut validation = Validation::new(algorithm);
        validation.set_issuer(&settings.issuers);
        validation.set_audience(&[&settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud"]);
        validation.validate_nbf = true;
        validation.leeway = settings.leeway_s;
        Some(Self { key, validation })
    }
}

/// The library's error list grows; only what a caller can act on is told apart.
fn refusal(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::ExpiredSignature => TokenError::Expired,
        ErrorKind::ImmatureSignature => TokenError::Claim("nbf"),
        ErrorKind::InvalidIssuer => TokenError::Claim("iss"),
        ErrorKind::InvalidAudience => TokenError::Claim("aud"),
        ErrorKind::MissingRequiredClaim(name) if name == "exp" => TokenError::Claim("exp"),
        ErrorKind::MissingRequiredClaim(name) if name == "iss" => TokenError::Claim("iss"),
        ErrorKind::MissingRequiredClaim(name) if name == "aud" => TokenError::Claim("aud"),
        _ => TokenError::Invalid,
    }
}

fn identity(claims: Claims, kid: &str) -> Result<Identity, TokenError> {
    let jti = claims.jti.filter(|jti| !jti.is_empty());
    let jti = jti.ok_or(TokenError::Claim("jti"))?;
    let tenant = claims.tenant.ok_or(TokenError::Claim("tenant"))?;
    check_scope_name(&tenant).map_err(|_| TokenError::Claim("tenant"))?;
    if let Some(merchant) = &claims.merchant {
        check_scope_name(merchant).map_err(|_| TokenError::Claim("merchant"))?;
    }
    Ok(Identity {
        tenant,
        merchant: claims.merchant,
        subject: claims.sub.filter(|subject| !subject.is_empty()),
        token: format!("{kid}/{jti}"),
        scope: claims.scope,
        // The library has refused a missing or negative one.
        expires_at: claims.exp as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Authenticator;
    use axum::http::{HeaderMap, header};

    /// The example of RFC 8410, 10.1.
    const PUBLIC_KEY: &[u8] = b"-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----";
    /// Headers that name the key `k1` and this algorithm, with claims and 64 bytes for a signature.
    const TOKENS: [&str; 2] = [
        "Bearer eyJhbGciOiJFZERTQSIsImtpZCI6ImsxIn0.eyJqdGkiOiIxIn0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "Bearer eyJhbGciOiJub25lIiwia2lkIjoiazEifQ.eyJqdGkiOiIxIn0.",
    ];

    fn authenticator() -> Authenticator {
        let settings = AuthSettings {
            keys_dir: "keys".into(),
            issuers: vec!["holdfast".into()],
            audience: "holdfast".into(),
            leeway_s: 30,
            verified_tokens_max: 10,
        };
        let key = BoundKey::from_pem(PUBLIC_KEY, &settings).unwrap();
        Authenticator::new(KeySet([("k1".to_owned(), key)].into()), &settings)
    }

    #[test]
    fn any_header_without_our_signature_is_refused() {
        let authenticator = authenticator();
        let good = TOKENS.map(|token| token.as_bytes().to_vec());
        domain::mangled::each_mangled(&good, |bytes| {
            let mut headers = HeaderMap::new();
            if let Ok(value) = bytes.try_into() {
                headers.insert(header::AUTHORIZATION, value);
            }
            assert!(authenticator.authenticate(&headers, 0).is_err());
        });
    }

    #[test]
    fn any_claims_under_our_signature_name_somebody_or_are_refused() {
        let good = br#"{"exp":1893456000,"jti":"1","tenant":"demo","merchant":"shop",
            "scope":"orders:write","iss":"holdfast","aud":"holdfast"}"#;
        domain::mangled::each_mangled(&[good.to_vec()], |bytes| {
            let claims = serde_json::from_slice::<Claims>(bytes);
            if let Ok(Ok(named)) = claims.map(|claims| identity(claims, "k")) {
                assert!(check_scope_name(&named.tenant).is_ok());
            }
        });
    }
}
