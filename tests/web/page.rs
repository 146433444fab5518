//! The page in a real browser.

use super::{
    READ_TOKEN, TOKEN, send, start,
    support::{
        browser::Browser,
        poll,
        relay::{DOMAIN, Relay, Settings},
        scripted::{Act, Ask, Scripted},
        temp,
    },
    write_moved,
};
use relay::ledger::{Cutover, cutover::Step};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::Path,
    thread,
};

/// Saves a picture where `RELAY_SCREENSHOTS` names a directory, for a person to look at.
pub fn picture(browser: &Browser, name: &str) {
    let shot = browser.screenshot();
    assert!(shot.len() > 10_000, "{name} is blank");
    if let Ok(directory) = std::env::var("RELAY_SCREENSHOTS") {
        fs::write(Path::new(&directory).join(format!("{name}.png.b64")), shot).unwrap();
    }
}

pub fn log_in_by_browser(browser: &Browser, relay: &Relay, token: &str) {
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
    browser.await_true("document.querySelector('article').innerText.includes('FORWARD for')");
    browser.await_true("document.querySelector('.rail').innerText.includes('[x]released')");
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
    small.await_true(
        "[...document.querySelectorAll('article button')].every(one => one.textContent === 'Show the parked')",
    );
    small.phone(360, 740);
    // A page that is wider makes the phone zoom out.
    small.await_true("window.innerWidth === 360 && document.documentElement.scrollWidth === 360");
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

#[test]
fn the_mailboxes_and_the_guided_cutover_are_seen_as_they_go() {
    let directory = temp();
    let relay = start(directory.path(), &Settings::default());
    let browser = Browser::start(directory.path(), 1280, 1000);
    log_in_by_browser(&browser, &relay, READ_TOKEN);
    browser.await_true("document.querySelector('#mailboxes').hidden");
    browser.await_true("document.querySelector('#cutover').hidden");
    write_moved(directory.path());
    let text = |part: &str| format!("document.querySelector('{part}')?.innerText");
    browser.await_true(&format!(
        "{}.includes('accounts 3 = 1 converged + 1 copying + 1 failed')",
        text("#mover-accounts")
    ));
    // The domain's own line balances too, and a failed account stops the rail.
    browser.await_true(&format!("{}.includes('[!]synced')", text(".rail")));
    browser.click("#mailboxes summary");
    browser.await_true("document.querySelectorAll('#accounts tbody tr').length === 3");
    browser.await_true(&format!(
        "{}.includes('eve@corp.example') && {0}.includes('over quota')",
        text("#accounts tbody tr")
    ));
    browser.type_into("#account", "copying");
    browser.await_true("document.querySelectorAll('#accounts tbody tr').length === 1");

    let now_ms = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap();
    let mut cutover = Cutover::new(vec![DOMAIN.into()], now_ms - 90_000);
    cutover.begin(Step::Check, now_ms - 90_000);
    cutover.finish(Step::Check, Some("2 warnings".into()), now_ms - 30_000);
    cutover.begin(Step::FirstPass, now_ms - 30_000);
    cutover.write(&directory.path().join("spool")).unwrap();
    browser.await_true(&format!("{}.includes('2 warnings')", text("#steps .done")));
    browser.await_true(&format!(
        "{}.includes('first pass')",
        text("#steps .underway")
    ));
    browser.await_true(&format!("{}.includes('[x]checked')", text(".rail")));
    picture(&browser, "mailboxes");
}

#[test]
fn another_site_in_the_same_browser_changes_nothing() {
    let directory = temp();
    let relay = start(directory.path(), &Settings::default());
    let browser = Browser::start(directory.path(), 800, 600);
    log_in_by_browser(&browser, &relay, TOKEN);
    // Another port of the same host is the same site to a browser, so that the cookie goes
    // along; another name is not.
    for (host, refusal) in [("127.0.0.1", "not_allowed"), ("localhost", "not_logged_in")] {
        let path = format!("http://127.0.0.1:{}/v1/domains/{DOMAIN}/pause", relay.web());
        let forged = format!(
            "<form method=post enctype=text/plain action=\"{path}\">\
             <input name='{{\"reason\":\"' value='forged\"}}'></form>\
             <script>document.forms[0].submit()</script>"
        );
        browser.open(&format!("http://{host}:{}/", serve(forged)));
        browser.await_true(&format!("document.body.innerText.includes('{refusal}')"));
        assert!(relay.domain(DOMAIN)["paused"].is_null());
    }
}

/// A server that answers every request with this page, until the test ends.
fn serve(page: String) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let request = BufReader::new(stream.try_clone().unwrap()).lines();
            let _ = request
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .count();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
            let length = format!("Content-Length: {}\r\n\r\n", page.len());
            let _ = stream.write_all(format!("{head}{length}{page}").as_bytes());
        }
    });
    port
}
