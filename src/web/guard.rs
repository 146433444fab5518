//! Before every call: who asks, and may they.

use super::{
    access::{Role, Session},
    server::Shared,
};
use crate::control::{ApiError, ErrorKind};
use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use std::time::Instant;

/// The name of the session's cookie.
pub const COOKIE: &str = "relay_session";
/// The header with the session's own secret.
const CSRF: &str = "x-relay-csrf";
/// Calls that change nothing and yet read everything.
const COSTLY: &str = "/v1/fsck";

/// How somebody was recognized.
enum Caller {
    /// By the cookie, which a browser sends by itself.
    Browser(Session),
    /// By the token, which nobody sends unasked.
    Script(Role),
}

/// Lets through whoever may call; the others get the reason as JSON.
pub async fn calls(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let verdict = match caller(&shared, request.headers()) {
        None => Err(ApiError {
            error: ErrorKind::NotLoggedIn,
            detail: "log in at /login, or send Authorization: Bearer TOKEN".into(),
        }),
        Some(caller) => may(&caller, &request),
    };
    match verdict {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// The page itself: whoever is not logged in is led to where that is done.
pub async fn pages(State(shared): State<Shared>, mut request: Request, next: Next) -> Response {
    match session(&shared, request.headers()) {
        Some(session) => {
            request.extensions_mut().insert(session);
            next.run(request).await
        }
        None => Redirect::to("/login").into_response(),
    }
}

fn may(caller: &Caller, request: &Request) -> Result<(), ApiError> {
    let refuse = |detail: &str| {
        Err(ApiError {
            error: ErrorKind::NotAllowed,
            detail: detail.into(),
        })
    };
    let looks = matches!(*request.method(), Method::GET | Method::HEAD);
    if looks && !request.uri().path().starts_with(COSTLY) {
        return Ok(());
    }
    let (Caller::Browser(Session { role, .. }) | Caller::Script(role)) = caller;
    if *role != Role::Operator {
        return refuse("this login may only look");
    }
    if let Caller::Browser(session) = caller {
        let given = request.headers().get(CSRF).map(|value| value.as_bytes());
        let given = blake3::hash(given.unwrap_or_default());
        // By digests: the comparison tells nothing by its time.
        if given != blake3::hash(session.csrf.as_bytes()) {
            return refuse("the request does not come from the page (no valid X-Relay-CSRF)");
        }
        if !same_origin(request.headers()) {
            return refuse("the request comes from another site");
        }
    }
    Ok(())
}

/// Whether somebody with a token asks, for what strangers get less of.
pub fn is_known(shared: &Shared, headers: &HeaderMap) -> bool {
    caller(shared, headers).is_some()
}

fn caller(shared: &Shared, headers: &HeaderMap) -> Option<Caller> {
    let bearer = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    match bearer {
        Some(token) => shared.access.role(token).map(Caller::Script),
        None => session(shared, headers).map(Caller::Browser),
    }
}

fn session(shared: &Shared, headers: &HeaderMap) -> Option<Session> {
    shared.access.session(cookie(headers)?, Instant::now())
}

/// The session's cookie (RFC 6265 §4.2.1).
pub fn cookie(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::COOKIE).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split("; "))
        .find_map(|pair| pair.strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Whether `Origin`, which every browser sends along with a POST, names the host that is
/// asked (RFC 6454 §7).
pub fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(header::ORIGIN), text(header::HOST)) {
        (None, _) => true,
        (Some(origin), Some(host)) => origin
            .split_once("://")
            .is_some_and(|(_, from)| from.eq_ignore_ascii_case(host)),
        (Some(_), None) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let found = |value| cookie(&headers(&[(header::COOKIE, value)])).map(str::to_owned);
        assert_eq!(found("a=b; relay_session=x; c=d").as_deref(), Some("x"));
        assert_eq!(found("xrelay_session=x; relay_sessions=y"), None);
    }

    #[test]
    fn another_site_is_another_origin() {
        let asked = |origin| {
            same_origin(&headers(&[
                (header::HOST, "127.0.0.1:8025"),
                (header::ORIGIN, origin),
            ]))
        };
        assert!(asked("http://127.0.0.1:8025"));
        for foreign in [
            "http://127.0.0.1:8026",
            "https://evil.example",
            "null",
            "http://127.0.0.1:8025.evil.example",
        ] {
            assert!(!asked(foreign), "{foreign}");
        }
    }
}
