//! Who may do what: tokens, tenants, merchants, scopes.

use crate::client::Client;
use crate::stand::{order, with_stand};
use crate::tokens::{ALL_SCOPES, Keys, claims};
use jsonwebtoken::Algorithm;
use serde_json::Value;

/// Tokens that nobody may come in with, each named for what is wrong with it.
fn bad_tokens(keys: &Keys) -> Vec<(&'static str, String)> {
    let good = claims("demo", Some("shop"), ALL_SCOPES);
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        keys.ed25519(&claims)
    };
    let without = |name: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(name);
        keys.ed25519(&claims)
    };
    let now = jsonwebtoken::get_current_timestamp();
    vec![
        ("none", Keys::unsigned("ed", &good)),
        (
            "HS256 by the Ed25519 key",
            Keys::hs256("ed", &keys.ed25519_public_pem, &good),
        ),
        (
            "HS256 by the RSA key",
            Keys::hs256("rsa", &keys.rsa_public_pem, &good),
        ),
        (
            "RS256 under the Ed25519 key's id",
            keys.rsa(Algorithm::RS256, "ed", &good),
        ),
        (
            "another algorithm of the family",
            keys.rsa(Algorithm::RS512, "rsa", &good),
        ),
        (
            "EdDSA under the RSA key's id",
            keys.ed25519_as(Some("rsa"), &good),
        ),
        ("an unknown key", keys.ed25519_as(Some("../ed"), &good)),
        ("no key id", keys.ed25519_as(None, &good)),
        ("expired", with("exp", (now - 60).into())),
        ("not yet good", with("nbf", (now + 60).into())),
        ("another audience", with("aud", "elsewhere".into())),
        ("another issuer", with("iss", "elsewhere".into())),
        ("an impossible tenant", with("tenant", "a/b".into())),
        ("an empty merchant", with("merchant", "".into())),
        ("no audience", without("aud")),
        ("no issuer", without("iss")),
        ("no jti", without("jti")),
        ("no expiry", without("exp")),
        ("no tenant", without("tenant")),
        ("tampered", tampered(keys)),
        ("nonsense", "a.b.c".into()),
    ]
}

/// The signature is that of another payload.
fn tampered(keys: &Keys) -> String {
    let token = keys.ed25519(&claims("demo", Some("shop"), ALL_SCOPES));
    let (rest, signature) = token.rsplit_once('.').unwrap();
    let other = keys.ed25519(&claims("other", None, ALL_SCOPES));
    let payload = other.split('.').nth(1).unwrap();
    let header = rest.split('.').next().unwrap();
    format!("{header}.{payload}.{signature}")
}

#[tokio::test]
async fn only_a_good_token_is_let_in() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let (keys, path) = (
            &stand.keys,
            "/v1/orders/ord_00000000000000000000000000000000",
        );
        let good = claims("demo", Some("shop"), ALL_SCOPES);
        for token in [
            keys.ed25519(&good),
            keys.rsa(Algorithm::RS256, "rsa", &good),
        ] {
            let answer = Client::new(&url, Some(token)).get(path).await;
            answer.problem(404, "order_not_found");
        }
        for (what, token) in bad_tokens(keys) {
            let answer = Client::new(&url, Some(token)).get(path).await;
            assert_eq!(answer.status, 401, "{what}: {answer:?}");
            answer.problem(401, "token_invalid");
            assert!(
                answer.header("www-authenticate").starts_with("Bearer"),
                "{what}"
            );
        }
        let answer = Client::new(&url, None).get(path).await;
        answer.problem(401, "token_missing");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
    })
    .await;
}

#[tokio::test]
async fn a_remembered_token_expires_all_the_same() {
    with_stand(async |stand| {
        let url = stand
            .start_with(|settings| settings.auth.leeway_s = 0)
            .await;
        let mut claims = claims("demo", Some("shop"), ALL_SCOPES);
        claims["exp"] = (jsonwebtoken::get_current_timestamp() + 3).into();
        let client = Client::new(&url, Some(stand.keys.ed25519(&claims)));
        assert_eq!(client.get("/v1/orders/ord_x").await.status, 404);
        tokio::time::sleep(std::time::Duration::from_secs(4)).await;
        client
            .get("/v1/orders/ord_x")
            .await
            .problem(401, "token_invalid");
    })
    .await;
}

#[tokio::test]
async fn each_operation_needs_its_scope() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let account = format!("/v1/accounts/acct_{:032x}", 1);
        let operations = [
            ("POST", "/v1/orders".to_owned(), "orders:write"),
            ("GET", "/v1/orders/ord_x".to_owned(), "orders:read"),
            ("POST", "/v1/accounts".to_owned(), "accounts:write"),
            ("GET", account.clone(), "accounts:read"),
            ("POST", format!("{account}/close"), "accounts:write"),
            ("POST", format!("{account}/funding"), "funding:write"),
            ("GET", "/v1/search/orders".to_owned(), "search:read"),
            (
                "GET",
                "/v1/search/orders/summary?by=status".to_owned(),
                "search:read",
            ),
        ];
        for (method, path, scope) in operations {
            let others: Vec<_> = ALL_SCOPES.split(' ').filter(|s| *s != scope).collect();
            let client = stand.client(&url, "demo", Some("shop"), &others.join(" "));
            let method: reqwest::Method = method.parse().unwrap();
            let answer = crate::client::send(client.request(method, &path)).await;
            answer.problem(403, "scope_missing");
            assert!(
                answer.header("www-authenticate").contains(scope),
                "{answer:?}"
            );
        }
        let office = stand.client(&url, "demo", None, ALL_SCOPES);
        office
            .post_order("k", &order(1))
            .await
            .problem(403, "merchant_required");
    })
    .await;
}
