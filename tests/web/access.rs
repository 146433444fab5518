//! Who may look and who may act.

use super::{
    READ_TOKEN, TOKEN, get, log_in, post, send, start,
    support::{
        relay::{DOMAIN, Relay, Settings},
        temp,
    },
};
use serde_json::{Value, json};
use std::fs;

/// The cookie and the session's secret.
fn session(relay: &Relay, token: &str) -> (String, String) {
    let answer = log_in(relay, token);
    assert_eq!(answer.code, 303, "{}", answer.body);
    let cookie = answer.header("set-cookie").unwrap();
    for attribute in ["; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let page = get(relay, "/", &[("Cookie", &cookie)]);
    let (_, csrf) = page.body.split_once("name=\"csrf\" content=\"").unwrap();
    (cookie, csrf.split('"').next().unwrap().to_owned())
}

#[test]
fn a_stranger_sees_health_and_figures_and_nothing_else() {
    let directory = temp();
    let relay = start(directory.path(), &Settings::default());
    let id = send(&relay, "alice@example.org", "bob@corp.example");
    let page = get(&relay, "/", &[]);
    assert_eq!((page.code, page.header("location")), (303, Some("/login")));
    for path in [
        "/live",
        "/history",
        "/v1/status",
        "/v1/messages",
        "/v1/x",
        "/nothing",
    ] {
        let answer = get(&relay, path, &[]);
        assert_eq!(answer.code, 401, "{path}: {}", answer.body);
        assert!(!answer.body.contains(DOMAIN), "{}", answer.body);
    }
    for (path, body) in [
        ("drop", json!({"ids": [id]})),
        ("retry", json!({"ids": [id]})),
    ] {
        let path = format!("/v1/deliveries/{path}");
        assert_eq!(post(&relay, &path, &[], &body).code, 401);
    }
    assert_eq!(
        post(&relay, "/v1/domains/corp.example/release", &[], &json!({})).code,
        401
    );
    assert_eq!(log_in(&relay, "wrong-token-of-the-test").code, 403);
    assert_eq!(get(&relay, "/healthz", &[]).body, "ok\n");
    assert_eq!(get(&relay, "/readyz", &[]).body, "ready\n");
    assert_eq!(
        (relay.domain(DOMAIN)["phase"].as_str(), relay.count("held")),
        (Some("hold"), 1)
    );
}

#[test]
fn only_an_operator_on_the_page_itself_acts() {
    let directory = temp();
    let relay = start(directory.path(), &Settings::default());
    let pause = "/v1/domains/corp.example/pause";
    let bearer = |token| format!("Bearer {token}");
    let viewer = bearer(READ_TOKEN);
    let by_viewer = [("Authorization", viewer.as_str())];
    assert_eq!(get(&relay, "/v1/status", &by_viewer).code, 200);
    assert_eq!(get(&relay, "/v1/fsck", &by_viewer).code, 403);
    assert_eq!(post(&relay, pause, &by_viewer, &json!({})).code, 403);
    assert_eq!(
        post(&relay, pause, &[("Authorization", "Bearer x")], &json!({})).code,
        401
    );

    let (cookie, csrf) = session(&relay, TOKEN);
    let cookie = ("Cookie", cookie.as_str());
    let own = format!("http://127.0.0.1:{}", relay.web());
    let (csrf, origin) = (("X-Relay-CSRF", csrf.as_str()), ("Origin", own.as_str()));
    for forged in [
        &[cookie][..],
        &[cookie, origin],
        &[cookie, origin, ("X-Relay-CSRF", "0000")],
        &[cookie, csrf, ("Origin", "https://evil.example")],
        &[cookie, csrf, ("Origin", "null")],
    ] {
        let answer = post(&relay, pause, forged, &json!({}));
        assert_eq!(answer.code, 403, "{forged:?}: {}", answer.body);
    }
    assert!(relay.domain(DOMAIN)["paused"].is_null());
    let answer = post(
        &relay,
        pause,
        &[cookie, csrf, origin],
        &json!({"reason": "lunch"}),
    );
    assert_eq!(answer.code, 200, "{}", answer.body);
    assert_eq!(relay.domain(DOMAIN)["paused"], "lunch");
    let operator = bearer(TOKEN);
    let resume = "/v1/domains/corp.example/resume";
    let answer = post(&relay, resume, &[("Authorization", &operator)], &json!({}));
    assert_eq!(answer.code, 200, "{}", answer.body);

    // A viewer's browser, and one that has logged out.
    let (reader, secret) = session(&relay, READ_TOKEN);
    let headers = [
        ("Cookie", reader.as_str()),
        ("X-Relay-CSRF", &secret),
        origin,
    ];
    assert_eq!(post(&relay, pause, &headers, &json!({})).code, 403);
    assert_eq!(
        post(&relay, "/logout", &[cookie, origin], &Value::Null).code,
        303
    );
    assert_eq!(get(&relay, "/v1/status", &[cookie]).code, 401);
}

#[test]
fn a_token_that_could_be_guessed_is_refused_at_the_start() {
    let directory = temp();
    let relay = Relay::configured(directory.path(), &Settings::default());
    fs::write(directory.path().join("token"), "secret\n").unwrap();
    relay.configure("\n[web]\naddress = \"127.0.0.1:0\"\ntoken_file = \"token\"\n");
    let output = relay.cli(&["serve"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success());
    assert!(
        error.contains("web.token_file") && error.contains("16"),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
}
