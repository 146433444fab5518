//! `relay report`, in each of its forms, and its check, from outside.

mod support;

use serde_json::Value;
use std::{fs, path::Path};
use support::{
    browser::Browser,
    client::Client,
    relay::{DOMAIN, Relay, Settings},
    scripted::{Act, Ask, Scripted},
    temp,
};

const HOSTILE: &str = "550 5.1.1 <script>alert(1)</script> & \"no\"";

/// Refuses eve for good, and takes dan's mail at the second time.
fn peer() -> Scripted {
    let tried = std::sync::atomic::AtomicBool::new(false);
    Scripted::new(move |ask| match ask {
        Ask::Rcpt(to) if to.starts_with("eve@") => Act::Say(HOSTILE),
        Ask::Rcpt(to) if to.starts_with("dan@") => {
            match tried.swap(true, std::sync::atomic::Ordering::Relaxed) {
                false => Act::Say("450 4.2.0 Greylisted"),
                true => Act::Go,
            }
        }
        _ => Act::Go,
    })
}

fn send(relay: &Relay, to: &str, count: usize) -> Vec<String> {
    let one = |number| {
        let message = format!("Subject: {number}\r\n\r\n{to}\r\n");
        let to = format!("{to}@{DOMAIN}");
        Client::deliver(relay.port(), "a@example.org", &[&to], message.as_bytes()).unwrap()
    };
    (0..count).map(one).collect()
}

fn check(relay: &Relay, file: &Path) -> (Option<i32>, Value) {
    let output = relay.cli(&["--json", "report", "--check", file.to_str().unwrap()]);
    let view = serde_json::from_slice(&output.stdout);
    (output.status.code(), view.unwrap_or_default())
}

/// A cutover with something to tell: delivered, parked, dropped.
fn cutover(directory: &Path, peer: &Scripted) -> (Relay, Vec<String>) {
    let relay = Relay::start(directory, &Settings::to(peer.port));
    send(&relay, "bob", 30);
    let parked = send(&relay, "eve", 2);
    send(&relay, "dan", 1);
    relay.ok(&["release", DOMAIN, "--yes"]);
    relay.await_forward();
    relay.ok(&["drop", "--yes", &parked[1]]);
    (relay, parked)
}

#[test]
fn it_accounts_for_everything_and_can_be_checked() {
    let directory = temp();
    let peer = peer();
    let (mut relay, parked) = cutover(directory.path(), &peer);
    let report = relay.json(&["report"]);
    let states = &report["totals"]["states"];
    let count = |state: &str| states[state]["count"].as_u64().unwrap();
    assert_eq!(report["totals"]["accepted"]["count"], 33);
    let counts = (count("delivered"), count("parked"), count("dropped"));
    assert_eq!(counts, (31, 1, 1));
    assert_eq!(report["totals"]["balanced"], true);
    let exceptions = report["exceptions"].as_array().unwrap();
    let named: Vec<(&str, &str)> = exceptions
        .iter()
        .map(|one| {
            (
                one["queue_id"].as_str().unwrap(),
                one["state"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(named, [(&*parked[0], "parked"), (&*parked[1], "dropped")]);
    assert!(exceptions[0]["reason"].as_str().unwrap().contains(HOSTILE));
    let done = exceptions[1]["done"].as_array().unwrap();
    assert_eq!(done.last().unwrap()["why"], "operator: drop");
    assert_eq!(report["speeds"]["deferred_then_delivered"], 1);
    assert_eq!(report["mailboxes"].as_array().unwrap().len(), 3);
    assert_eq!(report["chain"]["messages"], 33);

    let file = |ending: &str| directory.path().join(format!("report.{ending}"));
    for ending in ["json", "html", "txt"] {
        let to = file(ending);
        relay.ok(&["report", "--to", to.to_str().unwrap()]);
    }
    let heads = |relay: &Relay| {
        ["json", "html", "txt"].map(|ending| {
            let (code, view) = check(relay, &file(ending));
            assert_eq!(code, Some(0), "{ending}: {view}");
            assert_eq!(view["spool"], true, "{ending}: {view}");
            view["head"].as_str().unwrap().to_owned()
        })
    };
    let [json, html, txt] = heads(&relay);
    assert!(json == html && html == txt);
    // What happens later does not make an earlier report wrong; nor does the daemon's end.
    send(&relay, "bob", 3);
    relay.await_forward();
    relay.ok(&["retry", &parked[0]]);
    relay.ok(&["hold", DOMAIN]);
    assert_eq!(heads(&relay)[0], json);
    relay.stop();
    assert_eq!(heads(&relay)[0], json);
}

#[test]
fn a_report_that_was_changed_or_whose_spool_was_is_found_out() {
    let directory = temp();
    let peer = peer();
    let (mut relay, _) = cutover(directory.path(), &peer);
    let original = directory.path().join("report.json");
    relay.ok(&["report", "--to", original.to_str().unwrap()]);
    let content = fs::read_to_string(&original).unwrap();
    let changed = directory.path().join("changed.json");
    // The dropped message is made a delivered one: in the chain, so that it breaks.
    let mut report: Value = serde_json::from_str(&content).unwrap();
    let links = report["chain"]["links"].as_array_mut().unwrap();
    let dropped = links
        .iter_mut()
        .find(|link| link["entry"]["step"]["to"] == "dropped")
        .unwrap();
    dropped["entry"]["step"]["to"] = "delivered".into();
    fs::write(&changed, report.to_string()).unwrap();
    let (code, view) = check(&relay, &changed);
    assert_eq!((code, &view["chain"]), (Some(65), &false.into()), "{view}");
    // What is shown beside the chain is compared with it.
    let mut report: Value = serde_json::from_str(&content).unwrap();
    report["domains"][0]["events"]
        .as_array_mut()
        .unwrap()
        .remove(0);
    fs::write(&changed, report.to_string()).unwrap();
    assert_eq!(check(&relay, &changed).0, Some(65));
    fs::write(&changed, "no report").unwrap();
    assert_eq!(check(&relay, &changed).0, Some(65));
    // An event is taken out of the spool.
    relay.stop();
    let database = directory.path().join("spool/db");
    let options = rocksdb::Options::default();
    let families = ["default", "bodies"];
    let database = rocksdb::DB::open_cf(&options, database, families).unwrap();
    let keys = database.iterator(rocksdb::IteratorMode::Start).flatten();
    let events: Vec<Box<[u8]>> = keys
        .map(|(key, _)| key)
        .filter(|key| key.first() == Some(&b'E'))
        .collect();
    let of_eve = events.last().unwrap();
    database.delete(of_eve).unwrap();
    drop(database);
    let (code, view) = check(&relay, &original);
    assert_eq!((code, &view["chain"]), (Some(65), &true.into()), "{view}");
    let findings = view["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{view}");
    assert!(
        findings[0]
            .as_str()
            .unwrap()
            .contains("is not in the spool any more"),
        "{view}"
    );
}

/// A browser runs nothing of it, loads nothing, and shows it at a phone's width.
#[test]
fn the_page_is_whole_in_a_browser() {
    let directory = temp();
    let peer = peer();
    let (relay, parked) = cutover(directory.path(), &peer);
    let page = directory.path().join("report.html");
    relay.ok(&["report", "--to", page.to_str().unwrap()]);
    for (width, name) in [(1200, "desktop"), (400, "phone")] {
        let browser = Browser::start(&directory.path().join(name), width, 900);
        browser.open(&format!("file://{}", page.display()));
        let shown = browser.run("return document.body.innerText");
        let shown = shown.as_str().unwrap();
        for text in [&*parked[0], "<script>alert(1)</script>", "balanced", "LOOK"] {
            assert!(shown.contains(text), "{text} is not in {shown}");
        }
        let wide = browser.run("return document.documentElement.scrollWidth > innerWidth");
        assert_eq!(wide, false, "{name}");
        let loaded = browser.run("return performance.getEntriesByType('resource').length");
        assert_eq!(loaded, 0);
        assert!(browser.console().is_empty(), "{:?}", browser.console());
        if let Ok(to) = std::env::var("RELAY_SCREENSHOTS") {
            let to = Path::new(&to).join(format!("report-{name}.png.b64"));
            fs::write(to, browser.screenshot()).unwrap();
        }
    }
}
