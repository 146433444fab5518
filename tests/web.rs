//! The web page and the figures, by raw requests and by a real browser.

mod support;

use serde_json::{Value, json};
use std::{fs, path::Path};
use support::{
    browser::Browser,
    client::Client,
    http::{Answer, request},
    poll,
    relay::{DOMAIN, Relay, Settings},
    scripted::{Act, Ask, Scripted},
    temp,
};

const TOKEN: &str = "operator-token-of-the-test";
const READ_TOKEN: &str = "viewer-token-of-the-test";

fn start(directory: &Path, settings: &Settings) -> Relay {
    fs::write(directory.join("token"), format!("{TOKEN}\n")).unwrap();
    fs::write(directory.join("read-token"), format!("{READ_TOKEN}\n")).unwrap();
    let mut relay = Relay::configured(directory, settings);
    relay.configure(
        "\n[web]\naddress = \"127.0.0.1:0\"\ntoken_file = \"token\"\n\
         read_token_file = \"read-token\"\n",
    );
    relay.run();
    relay
}

fn send(relay: &Relay, from: &str, to: &str) -> String {
    let message = format!("Subject: for {to}\r\n\r\ntext\r\n");
    Client::deliver(relay.port(), from, &[to], message.as_bytes()).unwrap()
}

fn get(relay: &Relay, path: &str, headers: &[(&str, &str)]) -> Answer {
    request(relay.web(), "GET", path, headers, "")
}

fn post(relay: &Relay, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    request(relay.web(), "POST", path, headers, &body.to_string())
}

fn log_in(relay: &Relay, token: &str) -> Answer {
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let body = format!("token={token}");
    request(relay.web(), "POST", "/login", &form, &body)
}

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
fn figures_have_their_documented_names_and_balance() {
    let directory = temp();
    let new_server = Scripted::new(|ask| match ask {
        Ask::Rcpt(to) if to.starts_with("eve") => Act::Say("550 5.1.1 No such user"),
        _ => Act::Go,
    });
    let relay = start(directory.path(), &Settings::to(new_server.port));
    for to in ["bob", "eve", "carol"] {
        send(&relay, "alice@example.org", &format!("{to}@corp.example"));
    }
    relay.ok(&["release", DOMAIN, "--yes"]);
    let metrics = get(&relay, "/metrics", &[]);
    assert_eq!(metrics.code, 200);
    assert!(
        metrics
            .header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    let value = |name: &str| {
        let line = metrics
            .body
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{}", metrics.body))
            .parse::<f64>()
            .unwrap()
    };
    let state = |state: &str| {
        value(&format!(
            "relay_queue_messages{{domain=\"{DOMAIN}\",state=\"{state}\"}}"
        ))
    };
    assert_eq!(
        (state("delivered"), state("parked"), state("held")),
        (2.0, 1.0, 0.0)
    );
    assert_eq!(value("relay_accepted_total"), 3.0);
    assert_eq!(
        value("relay_delivery_total{status=\"sent\",dsn=\"2.0.0\"}"),
        2.0
    );
    assert_eq!(
        value("relay_delivery_total{status=\"parked\",dsn=\"5.1.1\"}"),
        1.0
    );
    assert_eq!(value("relay_delivery_seconds_count"), 3.0);
    assert_eq!(
        value(&format!("relay_balanced{{domain=\"{DOMAIN}\"}}")),
        1.0
    );
    assert_eq!(value("relay_commit_batch_messages_sum"), 3.0);
    assert!(value("relay_commit_seconds_count") >= 3.0);
    assert!(value("relay_spool_free_bytes") > 0.0);
    let phase = format!("relay_phase{{domain=\"{DOMAIN}\",phase=\"forward\"}}");
    assert_eq!(value(&phase), 1.0);
    assert!(metrics.body.ends_with("# EOF\n"));
}

#[test]
fn a_spool_that_takes_no_mail_is_not_ready() {
    let directory = temp();
    let settings = Settings {
        min_free: "900 TiB".into(),
        ..Settings::default()
    };
    let relay = start(directory.path(), &settings);
    let answer = get(&relay, "/readyz", &[]);
    assert_eq!(answer.code, 503);
    assert!(answer.body.starts_with("not ready: "), "{}", answer.body);
    assert_eq!(get(&relay, "/healthz", &[]).code, 200);
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

/// Saves a picture where `RELAY_SCREENSHOTS` names a directory, for a person to look at.
fn picture(browser: &Browser, name: &str) {
    let shot = browser.screenshot();
    assert!(shot.len() > 10_000, "{name} is blank");
    if let Ok(directory) = std::env::var("RELAY_SCREENSHOTS") {
        fs::write(Path::new(&directory).join(format!("{name}.png.b64")), shot).unwrap();
    }
}

fn log_in_by_browser(browser: &Browser, relay: &Relay, token: &str) {
    browser.open(&format!("http://127.0.0.1:{}/", relay.web()));
    browser.await_true("document.querySelector('#token')");
    browser.type_into("#token", token);
    browser.click("form button");
    browser.await_true("document.querySelector('#state').textContent.startsWith('live')");
}

#[test]
fn an_operator_watches_a_release_and_retries_what_was_parked() {
    let directory = temp();
    let refuse = directory.path().join("refuse");
    fs::write(&refuse, "").unwrap();
    let new_server = Scripted::new(move |ask| match ask {
        Ask::Rcpt(to) if to.starts_with("eve") && refuse.exists() => {
            Act::Say("550 5.1.1 <img src=x onerror=alert(1)> no such user")
        }
        _ => Act::Go,
    });
    let relay = start(directory.path(), &Settings::to(new_server.port));
    let hostile = "\"<script>alert(1)</script>\"@example.org";
    let parked = send(&relay, hostile, "eve@corp.example");
    for number in 0..20 {
        send(
            &relay,
            "alice@example.org",
            &format!("user{number}@corp.example"),
        );
    }
    let browser = Browser::start(directory.path(), 1280, 1000);
    log_in_by_browser(&browser, &relay, TOKEN);
    let count =
        |state| format!("document.querySelector('dd[data-count={state}]')?.firstChild.data");
    browser.await_true(&format!("{} === '21'", count("held")));
    browser.await_true("document.querySelectorAll('#messages tr[data-id]').length === 21");
    // What came with the mail is text.
    let text = browser.run("return document.querySelector('#messages').innerText");
    assert!(
        text.as_str().unwrap().contains("<script>alert(1)</script>"),
        "{text}"
    );
    picture(&browser, "held");

    // The counters move without anybody touching the page.
    relay.ok(&["release", DOMAIN, "--yes"]);
    browser.await_true(&format!(
        "{} === '20' && {} === '1'",
        count("delivered"),
        count("parked")
    ));
    browser.await_true("document.querySelector('article').innerText.includes('[>] forward')");
    browser.await_true("document.querySelector('article').innerText.includes(': balanced')");

    // The parked one, from the queue.
    browser.run("document.querySelector('#search [name=state]').value = 'parked'");
    browser.click("#search button");
    let row = format!("tr[data-id='{parked}']");
    browser.await_true(&format!(
        "document.querySelectorAll('#messages tr[data-id]').length === 1 \
         && document.querySelector(\"{row}\")"
    ));
    browser.click(&format!("{row} td:last-child button"));
    browser.await_true(
        "document.querySelector('tr[data-details]')?.innerText.includes('onerror=alert(1)')",
    );
    picture(&browser, "parked");
    fs::remove_file(directory.path().join("refuse")).unwrap();
    browser.click(&format!("{row} li button"));
    new_server.await_arrivals("the retried message", |all| all.len() == 21);
    browser.await_true(&format!("{} === '21'", count("delivered")));
    poll("an empty queue", || {
        (relay.count("parked") == 0).then_some(())
    });

    // Phone width: nothing is wider than the window.
    let phone = temp();
    let small = Browser::start(phone.path(), 500, 900);
    log_in_by_browser(&small, &relay, READ_TOKEN);
    small.await_true(&format!("{} === '21'", count("delivered")));
    small.await_true("document.documentElement.scrollWidth <= window.innerWidth");
    small.await_true("document.querySelectorAll('.actions button').length === 0");
    picture(&small, "phone");
    // Neither an error nor a violation of the content security policy, which it would block.
    for said in [browser.console(), small.console()] {
        let bad = said.iter().filter(|line| line["level"] != "DEBUG");
        assert_eq!(bad.count(), 0, "{said:?}");
    }
    browser.run("document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))");
    let said = serde_json::to_string(&browser.console()).unwrap();
    assert!(said.contains("Content Security Policy"), "{said}");
    assert_eq!(browser.run("return document.title"), "relay");
}
