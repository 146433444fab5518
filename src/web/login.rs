//! Logging in and out.

use super::{
    guard::{self, COOKIE},
    page,
    server::Shared,
};
use axum::{
    Form,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// What a wrong token costs.
const PENALTY: Duration = Duration::from_secs(1);

/// The form.
#[derive(Deserialize)]
pub struct Login {
    token: String,
}

pub async fn form() -> Response {
    page::login(StatusCode::OK, "")
}

pub async fn login(
    State(shared): State<Shared>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    Form(Login { token }): Form<Login>,
) -> Response {
    if !guard::same_origin(&headers) {
        return page::login(StatusCode::FORBIDDEN, "The form was sent by another site.");
    }
    let Some(role) = shared.access.role(&token) else {
        tracing::warn!("web: a wrong token from {peer}");
        // Few wait at a time, so that guessing is slow from many connections too.
        let Ok(_turn) = shared.penalties.try_acquire() else {
            let text = "Too many wrong tokens at once. Try again in a few seconds.";
            return page::login(StatusCode::TOO_MANY_REQUESTS, text);
        };
        tokio::time::sleep(PENALTY).await;
        return page::login(StatusCode::FORBIDDEN, "That is not a valid token.");
    };
    let Ok(id) = shared.access.open(role, Instant::now()) else {
        let text = "The system has no random numbers for a session.";
        return page::login(StatusCode::INTERNAL_SERVER_ERROR, text);
    };
    tracing::info!("web: {} logged in from {peer}", role.name());
    let secure = headers
        .get("x-forwarded-proto")
        .is_some_and(|value| value == "https");
    with_cookie(Redirect::to("/"), &id, secure)
}

pub async fn logout(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    // Another site must not end a session either.
    if guard::same_origin(&headers)
        && let Some(id) = guard::cookie(&headers)
    {
        shared.access.close(id);
    }
    Redirect::to("/login").into_response()
}

/// RFC 6265 §4.1, with SameSite of its successor: no other site's request carries it.
fn with_cookie(redirect: Redirect, id: &str, secure: bool) -> Response {
    let secure = if secure { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={id}; Path=/; HttpOnly; SameSite=Strict{secure}");
    let mut response = redirect.into_response();
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}
