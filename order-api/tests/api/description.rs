//! The API's description of itself.

use crate::stand::with_stand;
use serde_json::Value;

#[test]
fn the_description_is_as_agreed() {
    let description: Value = serde_json::from_str(&order_api::openapi_json()).unwrap();
    insta::assert_json_snapshot!("openapi", description);
}

#[test]
fn every_operation_names_its_problems_and_needs_a_token() {
    let description: Value = serde_json::from_str(&order_api::openapi_json()).unwrap();
    assert_eq!(description["openapi"], "3.1.0");
    assert_eq!(
        description["security"][0]["bearer"],
        Value::Array(Vec::new())
    );
    assert_eq!(
        description["components"]["securitySchemes"]["bearer"]["scheme"],
        "bearer"
    );
    let mut operations = 0;
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            operations += 1;
            assert!(operation["summary"].is_string(), "{method} {path}");
            for (status, response) in operation["responses"].as_object().unwrap() {
                let kind = if status.starts_with('2') {
                    "application/json"
                } else {
                    "application/problem+json"
                };
                let content = &response["content"][kind];
                assert!(content["schema"].is_object(), "{method} {path} {status}");
            }
            for status in ["400", "401", "403", "500", "503"] {
                assert!(
                    operation["responses"][status].is_object(),
                    "{method} {path} {status}"
                );
            }
        }
    }
    assert_eq!(operations, 10);
}

#[tokio::test]
async fn the_description_and_its_pages_come_without_the_network() {
    with_stand(async |stand| {
        let url = stand.start().await;
        let client = crate::client::Client::new(&url, None);
        let served = client.get("/openapi.json").await;
        let built: Value = serde_json::from_str(&order_api::openapi_json()).unwrap();
        assert_eq!(served.body, built);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let page = http.get(format!("{url}/docs")).send().await.unwrap();
        assert_eq!(page.status(), 200);
        let text = page.text().await.unwrap();
        assert!(text.contains("swagger-ui"), "{text}");
        assert!(
            !text.contains("https://"),
            "nothing is loaded from elsewhere: {text}"
        );
        let script = http
            .get(format!("{url}/docs/swagger-ui-bundle.js"))
            .send()
            .await
            .unwrap();
        assert_eq!(script.status(), 200);
    })
    .await;
}
