//! A door before Elasticsearch that a test opens search by search, or shuts.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

pub struct Gate {
    /// Where it listens.
    pub url: String,
    behind: String,
    http: reqwest::Client,
    /// How many searches may yet pass; another one waits.
    searches: Semaphore,
    /// How many searches will yet find Elasticsearch too busy.
    refusals: AtomicUsize,
    /// Points in time that were opened and not closed.
    open: Mutex<BTreeSet<String>>,
}

impl Gate {
    /// A shut gate before the Elasticsearch at this address.
    pub async fn before(behind: &str) -> Arc<Self> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gate = Arc::new(Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            behind: behind.to_owned(),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            searches: Semaphore::new(0),
            refusals: AtomicUsize::new(0),
            open: Mutex::default(),
        });
        let router = Router::new().fallback(pass).with_state(Arc::clone(&gate));
        tokio::spawn(async move { axum::serve(listener, router).await });
        gate
    }

    /// Lets so many more searches pass.
    pub fn let_pass(&self, searches: usize) {
        self.searches.add_permits(searches);
    }

    /// Lets nothing pass and refuses nothing: who asks, waits.
    pub fn shut(&self) {
        self.searches.forget_permits(Semaphore::MAX_PERMITS);
        self.refuse(0);
    }

    /// Refuses so many searches of those that are let pass.
    pub fn refuse(&self, searches: usize) {
        self.refusals.store(searches, Ordering::SeqCst);
    }

    pub fn open_points_in_time(&self) -> Vec<String> {
        self.open.lock().unwrap().iter().cloned().collect()
    }

    async fn refuses_search(&self) -> bool {
        self.searches.acquire().await.unwrap().forget();
        let one_less = |refusals: usize| refusals.checked_sub(1);
        let order = Ordering::SeqCst;
        self.refusals.fetch_update(order, order, one_less).is_ok()
    }

    fn note(&self, is_deletion: bool, asked: &[u8], answered: &[u8]) {
        let id = |text: &[u8]| -> Option<String> {
            let body: Value = serde_json::from_slice(text).ok()?;
            Some(body["id"].as_str()?.to_owned())
        };
        let mut open = self.open.lock().unwrap();
        match is_deletion {
            true => id(asked).is_some_and(|id| open.remove(&id)),
            false => id(answered).is_some_and(|id| open.insert(id)),
        };
    }
}

async fn pass(State(gate): State<Arc<Gate>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.to_string();
    if path.starts_with("/_search") && gate.refuses_search().await {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let asked = to_bytes(body, BODY_BYTES_MAX).await.unwrap();
    let is_deletion = parts.method == reqwest::Method::DELETE;
    let url = format!("{}{path}", gate.behind);
    let request = gate.http.request(parts.method, url).body(asked.clone());
    let request = request.header("content-type", "application/json");
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let answered = answer.bytes().await.unwrap();
    if path.contains("_pit") {
        gate.note(is_deletion, &asked, &answered);
    }
    (status, Body::from(answered)).into_response()
}
