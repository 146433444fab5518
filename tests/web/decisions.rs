//! What a person decides on the page, by mouse and by keys; and a page that lives longer than
//! the daemon behind it.

use super::{
    READ_TOKEN, TOKEN,
    page::{log_in_by_browser, picture},
    send, start, start_with,
    support::{
        browser::Browser,
        poll,
        relay::{DOMAIN, Settings},
        scripted::{Act, Ask, Scripted},
        temp,
    },
};
use relay::ledger::{Checked, Finding, Verdict};
use std::{fs, net::TcpListener};

/// The Enter key (WebDriver §17.4.2).
const ENTER: &str = "\u{e007}";

fn shown(count: usize) -> String {
    format!("document.querySelectorAll('#messages tr[data-id]').length === {count}")
}

/// The row of a message says so: it is drawn anew behind each decision.
fn in_row(id: &str, word: &str) -> String {
    format!("document.querySelector(\"tr[data-id='{id}']\")?.innerText.includes('{word}')")
}

/// Presses the button with this word in the row of a message: in one step, since the row is
/// drawn anew whenever something about it changes.
fn press(browser: &Browser, id: &str, word: &str) {
    let press = format!(
        "const all = [...document.querySelectorAll(\"tr[data-id='{id}'] button\")]; \
         const found = all.find(one => one.textContent === '{word}' && one.checkVisibility()); \
         found?.click(); return Boolean(found)"
    );
    assert_eq!(browser.run(&press), true, "no {word} at {id}");
}

fn search_state(browser: &Browser, state: &str) {
    browser.run(&format!(
        "const state = document.querySelector('#search [name=state]'); state.value = '{state}'; \
         state.dispatchEvent(new Event('change', {{ bubbles: true }}))"
    ));
}

#[test]
fn what_a_person_decides_is_done_and_asked_about_where_it_is_for_good() {
    let directory = temp();
    let takes_all = directory.path().join("takes-all");
    let takes = takes_all.clone();
    let new_server = Scripted::new(move |ask| match ask {
        Ask::Rcpt(to) if to.starts_with("eve") => Act::Say("550 5.1.1 No such user"),
        Ask::Rcpt(to) if to.starts_with("dan") && !takes.exists() => {
            Act::Say("452 4.2.2 Mailbox full")
        }
        _ => Act::Go,
    });
    let smarthost = Scripted::healthy();
    let bounce = format!(
        "\n[bounce]\nvia = {{ host = \"127.0.0.1\", port = {} }}\n",
        smarthost.port
    );
    // A deferred one stays so until somebody decides.
    let settings = Settings {
        release: "retry_min = \"1h\"\nretry_max = \"1h\"",
        ..Settings::to(new_server.port)
    };
    let relay = start_with(directory.path(), &settings, "127.0.0.1:0", &bounce);
    let of = |name: &str| send(&relay, "alice@example.org", &format!("{name}@{DOMAIN}"));
    let (dropped, bounced, deferred) = (of("eve1"), of("eve2"), of("dan"));
    for number in 0..3 {
        of(&format!("user{number}"));
    }
    relay.ok(&["release", DOMAIN, "--yes", "--detach"]);
    poll("the results", || {
        (relay.count("delivered") == 3 && relay.count("deferred") == 1).then_some(())
    });
    let browser = Browser::start(directory.path(), 1280, 1000);
    log_in_by_browser(&browser, &relay, TOKEN);

    // By keys alone: a slash leads to the search, Enter searches.
    browser.await_true(&shown(3));
    browser.type_into("body", "/");
    browser.await_true("document.activeElement.name === 'recipient'");
    browser.type_into("#search [name=recipient]", &format!("EVE2@{DOMAIN}{ENTER}"));
    browser.await_true(&shown(1));
    browser.await_true(&format!(
        "document.querySelector(\"tr[data-id='{bounced}']\")"
    ));
    browser.run("document.querySelector('#search [name=recipient]').value = ''");
    search_state(&browser, "all");
    browser.await_true(&shown(6));

    // Dropped, after a no that changes nothing. No has the focus: Enter gives up nothing.
    press(&browser, &dropped, "Drop");
    browser.await_true("document.querySelector('#ask').open");
    browser.await_true("document.activeElement.value === 'no'");
    picture(&browser, "question");
    browser.answer("no");
    browser.await_true("!document.querySelector('#ask').open");
    assert_eq!((relay.count("parked"), relay.count("dropped")), (2, 0));
    press(&browser, &dropped, "Drop");
    browser.answer("yes");
    browser.await_true(&in_row(&dropped, "dropped"));
    assert_eq!(relay.count("dropped"), 1);

    // Bounced: the sender is told.
    press(&browser, &bounced, "Bounce");
    browser.answer("yes");
    browser.await_true(&in_row(&bounced, "bounced"));
    smarthost.await_arrivals("the report", |all| all.len() == 1);
    assert_eq!(smarthost.arrivals()[0].recipients, ["alice@example.org"]);
    assert_eq!(relay.count("bounced"), 1);

    // Parked, and sent again.
    search_state(&browser, "deferred");
    browser.await_true(&shown(1));
    browser.await_true("document.querySelector('#messages').innerText.includes('Mailbox full')");
    press(&browser, &deferred, "Park");
    browser.await_true(&shown(0));
    assert_eq!(relay.count("parked"), 1);
    fs::write(&takes_all, "").unwrap();
    search_state(&browser, "parked");
    browser.await_true(&shown(1));
    press(&browser, &deferred, "Retry");
    browser.await_true(&shown(0));
    poll("the delivery", || {
        (relay.count("delivered") == 4).then_some(())
    });

    // Exported: the bytes as they came, as a file.
    search_state(&browser, "delivered");
    // The four, and the report of the bounced one.
    browser.await_true(&shown(5));
    let export = format!("document.querySelector(\"tr[data-id='{deferred}'] a[download]\")");
    assert_eq!(
        browser.run(&format!("return {export}.download")),
        format!("{deferred}.eml")
    );
    let bytes = browser.run(&format!(
        "const ask = new XMLHttpRequest(); ask.open('GET', {export}.href, false); ask.send(); \
         return ask.responseText"
    ));
    let bytes = bytes.as_str().unwrap();
    assert!(
        bytes.contains(&format!("Subject: for dan@{DOMAIN}\r\n")),
        "{bytes}"
    );
    let said = browser.console();
    assert!(said.iter().all(|line| line["level"] == "DEBUG"), "{said:?}");
    relay.assert_clean();
}

#[test]
fn a_page_outlives_the_daemon_and_says_so() {
    let directory = temp();
    // Free a moment ago: the page must come back where it was.
    let web = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = web.local_addr().unwrap().to_string();
    drop(web);
    let mut relay = start_with(directory.path(), &Settings::default(), &address, "");
    let browser = Browser::start(directory.path(), 800, 600);
    log_in_by_browser(&browser, &relay, TOKEN);
    relay.kill();
    browser.await_true("document.querySelector('#state').textContent.startsWith('NOT LIVE')");
    relay.run();
    // Sessions end with the daemon; the page leads to the login by itself.
    browser.await_true("document.querySelector('#token')");
    log_in_by_browser(&browser, &relay, TOKEN);
    send(&relay, "a@example.org", &format!("bob@{DOMAIN}"));
    browser.await_true("document.querySelector('dd[data-count=held]')?.firstChild.data === '1'");
}

#[test]
fn what_the_checks_found_and_what_changed_is_on_the_page() {
    let directory = temp();
    let relay = start(directory.path(), &Settings::default());
    let browser = Browser::start(directory.path(), 1280, 1000);
    log_in_by_browser(&browser, &relay, READ_TOKEN);
    browser.await_true("document.querySelector('#checks').hidden");
    let finding = |verdict, found: &str| Finding {
        name: "mx".into(),
        domain: Some(DOMAIN.into()),
        verdict,
        found: found.into(),
        fix: Some("ask <b>whoever</b> keeps the zone".into()),
        temporary: false,
        at_ms: u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap(),
    };
    let spool = directory.path().join("spool");
    let mut checked = Checked::default();
    checked.record(&[finding(Verdict::Ok, "10 hold.example.net")]);
    checked.write(&spool).unwrap();
    let section = "document.querySelector('#checks').innerText";
    browser.await_true(&format!("{section}.includes('0 failures, 0 warnings')"));
    checked.record(&[finding(Verdict::Fail, "the servers do not agree")]);
    checked.write(&spool).unwrap();
    browser.await_true(&format!("{section}.includes('1 failure, 0 warnings')"));
    // In words, not in colour; and the fix, as text.
    browser.await_true(&format!(
        "{section}.includes('FAIL mx · corp.example the servers do not agree')"
    ));
    browser.await_true(&format!("{section}.includes('fix: ask <b>whoever</b>')"));
    browser.click("#changed summary");
    browser.await_true(&format!(
        "{section}.includes('mx · corp.example: ok → FAIL')"
    ));
    picture(&browser, "checks");
}
