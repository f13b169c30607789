//! RFC 7240's `Prefer: wait=N`.

use axum::http::HeaderMap;
use std::time::Duration;

/// How long the caller prefers to wait, at most `max_s` seconds; none without a readable wish. Of
/// several, the first counts.
pub(crate) fn wait(headers: &HeaderMap, max_s: u64) -> Option<Duration> {
    let texts = headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok());
    let preferences = texts.flat_map(|text| text.split([',', ';']));
    let seconds = preferences.filter_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        is_wait.then(|| value.trim().trim_matches('"').parse::<u64>().ok())?
    });
    let seconds = seconds.map(|seconds| seconds.min(max_s)).next()?;
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_wish_is_read_and_capped() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("prefer", HeaderValue::from_str(text).unwrap());
            wait(&headers, 30).map(|wait| wait.as_secs())
        };
        assert_eq!(read("wait=5"), Some(5));
        assert_eq!(read("respond-async, WAIT = \"7\""), Some(7));
        assert_eq!(read("wait=600"), Some(30));
        for none in ["wait=0", "wait=-1", "wait=x", "wait", "return=minimal", ""] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
