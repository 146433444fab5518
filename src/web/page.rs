//! The page's files, inside the program, and the headers that keep it to itself.

use super::access::Session;
use axum::{
    Extension,
    extract::{Path, Request},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};

const INDEX: &str = include_str!("assets/index.html");
const LOGIN: &str = include_str!("assets/login.html");
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// What the pages are made of: name, type, content.
const ASSETS: &[(&str, &str, &str)] = &[
    (
        "style.css",
        "text/css; charset=utf-8",
        include_str!("assets/style.css"),
    ),
    ("icon.svg", "image/svg+xml", include_str!("assets/icon.svg")),
    ("checks.js", SCRIPT, include_str!("assets/checks.js")),
    ("common.js", SCRIPT, include_str!("assets/common.js")),
    ("cutover.js", SCRIPT, include_str!("assets/cutover.js")),
    ("domains.js", SCRIPT, include_str!("assets/domains.js")),
    ("mailboxes.js", SCRIPT, include_str!("assets/mailboxes.js")),
    ("page.js", SCRIPT, include_str!("assets/page.js")),
    ("plot.js", SCRIPT, include_str!("assets/plot.js")),
    ("queue.js", SCRIPT, include_str!("assets/queue.js")),
];

/// Everything from here, nothing from elsewhere, nobody around it; on every answer.
const HEADERS: &[(HeaderName, &str)] = &[
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

pub async fn index(Extension(session): Extension<Session>) -> Html<String> {
    let page = INDEX
        .replace("{{csrf}}", &session.csrf)
        .replace("{{role}}", session.role.name());
    Html(page)
}

/// The form to log in with, with what was wrong the last time.
pub fn login(status: StatusCode, problem: &'static str) -> Response {
    (status, Html(LOGIN.replace("{{problem}}", problem))).into_response()
}

/// A file of the pages; it tells nothing that is not public.
pub async fn asset(Path(name): Path<String>) -> Response {
    match ASSETS.iter().find(|(known, _, _)| *known == name) {
        Some((_, kind, content)) => ([(header::CONTENT_TYPE, *kind)], *content).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// Adds the headers.
pub async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}
