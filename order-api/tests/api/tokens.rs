//! Keys of a test's own and tokens signed with them, good and bad.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::path::Path;

/// What stands before the 32 bytes of an Ed25519 public key in its DER form (RFC 8410).
const ED25519_SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

pub const ALL_SCOPES: &str =
    "orders:write orders:read accounts:write accounts:read funding:write search:read";

/// The private halves; the public ones are files.
pub struct Keys {
    ed25519_der: Vec<u8>,
    rsa_der: Vec<u8>,
    pub ed25519_public_pem: String,
    pub rsa_public_pem: String,
}

impl Keys {
    /// Writes `ed.pub.pem` and `rsa.pub.pem`.
    pub fn make(folder: &Path) -> Self {
        let ed25519 = Ed25519KeyPair::generate().unwrap();
        let spki = [&ED25519_SPKI_PREFIX, ed25519.public_key().as_ref()].concat();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let rsa_public: PublicKeyX509Der<'_> = rsa.public_key().as_der().unwrap();
        let rsa_private: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        let keys = Self {
            ed25519_der: ed25519.to_pkcs8v1().unwrap().as_ref().to_vec(),
            rsa_der: rsa_private.as_ref().to_vec(),
            ed25519_public_pem: pem("PUBLIC KEY", &spki),
            rsa_public_pem: pem("PUBLIC KEY", rsa_public.as_ref()),
        };
        std::fs::write(folder.join("ed.pub.pem"), &keys.ed25519_public_pem).unwrap();
        std::fs::write(folder.join("rsa.pub.pem"), &keys.rsa_public_pem).unwrap();
        keys
    }

    pub fn ed25519(&self, claims: &Value) -> String {
        sign(
            Algorithm::EdDSA,
            "ed",
            claims,
            &EncodingKey::from_ed_der(&self.ed25519_der),
        )
    }

    pub fn ed25519_as(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = kid.map(str::to_owned);
        let key = EncodingKey::from_ed_der(&self.ed25519_der);
        jsonwebtoken::encode(&header, claims, &key).unwrap()
    }

    pub fn rsa(&self, algorithm: Algorithm, kid: &str, claims: &Value) -> String {
        let pem = pem("PRIVATE KEY", &self.rsa_der);
        sign(
            algorithm,
            kid,
            claims,
            &EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap(),
        )
    }

    /// HS256 with a public key as the secret: the classic confusion.
    pub fn hs256(kid: &str, secret: &str, claims: &Value) -> String {
        sign(
            Algorithm::HS256,
            kid,
            claims,
            &EncodingKey::from_secret(secret.as_bytes()),
        )
    }

    pub fn unsigned(kid: &str, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let header = json!({ "alg": "none", "typ": "JWT", "kid": kid });
        format!("{}.{}.", part(&header), part(claims))
    }
}

/// A good token's claims.
pub fn claims(tenant: &str, merchant: Option<&str>, scope: &str) -> Value {
    let mut claims = json!({
        "iss": "holdfast", "aud": "holdfast", "sub": "test", "tenant": tenant, "scope": scope,
        "jti": format!("{:032x}", rand::random::<u128>()),
        "exp": jsonwebtoken::get_current_timestamp() + 600,
    });
    if let Some(merchant) = merchant {
        claims["merchant"] = merchant.into();
    }
    claims
}

fn sign(algorithm: Algorithm, kid: &str, claims: &Value, key: &EncodingKey) -> String {
    let mut header = Header::new(algorithm);
    header.kid = Some(kid.to_owned());
    jsonwebtoken::encode(&header, claims, key).unwrap()
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text
        .as_bytes()
        .chunks(64)
        .map(|l| std::str::from_utf8(l).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}
