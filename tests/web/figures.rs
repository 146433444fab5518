//! The figures for monitoring, and the dashboard that shows them.

use super::{
    READ_TOKEN, get, send, start,
    support::{
        relay::{DOMAIN, Settings},
        scripted::{Act, Ask, Scripted},
        temp,
    },
    write_moved,
};
use serde_json::Value;

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
    let value = |name: &str| value_of(&metrics.body, name);
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

    // The mover's, from what it has written.
    assert!(!metrics.body.contains("relay_move_"));
    write_moved(directory.path());
    let metrics = get(&relay, "/metrics", &[]);
    let summed = |state: &str| {
        let name = format!("relay_move_messages_total{{state=\"{state}\"}}");
        value_of(&metrics.body, &name)
    };
    assert_eq!((summed("copied"), summed("pending")), (18.0, 12.0));
    // Nobody's address without a token; not with a wrong one either.
    assert!(!metrics.body.contains('@'), "{}", metrics.body);
    let bearer = |token: &str| format!("Bearer {token}");
    let wrong = bearer("wrong-token-of-somebody");
    let wrong = get(&relay, "/metrics", &[("Authorization", &wrong)]);
    assert!(!wrong.body.contains('@'), "{}", wrong.body);
    let token = bearer(READ_TOKEN);
    let metrics = get(&relay, "/metrics", &[("Authorization", &token)]);
    let moved = |state: &str| {
        let labels = format!("{{account=\"bob@corp.example\",state=\"{state}\"}}");
        value_of(&metrics.body, &format!("relay_move_messages_total{labels}"))
    };
    assert_eq!((moved("copied"), moved("pending")), (7.0, 3.0));
    assert_eq!(
        value_of(&metrics.body, "relay_move_accounts{state=\"copying\"}"),
        1.0
    );
    every_documented_name_is_there(&metrics.body);
    every_query_of_the_dashboard_finds_its_figures(&metrics.body);
}

/// Of lines such as `//! | `relay_x`, `relay_y` | labels | what |`.
fn every_documented_name_is_there(metrics: &str) {
    let source = include_str!("../../src/web/metrics.rs");
    let rows = source
        .lines()
        .filter(|line| line.starts_with("//! | `relay_"));
    let names: Vec<&str> = rows
        .flat_map(|row| row.split('|').nth(1).unwrap().split(','))
        .map(|name| name.trim().trim_matches('`'))
        .collect();
    assert!(names.len() > 25, "{names:?}");
    for name in names {
        assert!(has(metrics, name), "{name} is documented and not there");
    }
}

fn every_query_of_the_dashboard_finds_its_figures(metrics: &str) {
    let dashboard: Value = serde_json::from_str(include_str!("../../conf/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let queries = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap());
    let mut seen = 0;
    for query in queries {
        let query = query["expr"].as_str().unwrap();
        let names = query
            .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .filter(|word| word.starts_with("relay_"));
        for name in names {
            seen += 1;
            assert!(has(metrics, name), "{name}, of {query:?}, is not there");
        }
    }
    assert!(seen > 20, "{seen}");
}

/// A sample of this name, or of the histogram of this name.
fn has(metrics: &str, name: &str) -> bool {
    metrics.lines().any(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(['{', ' ']) || rest.starts_with("_count "))
    })
}

fn value_of(metrics: &str, name: &str) -> f64 {
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in\n{metrics}"))
        .parse()
        .unwrap()
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
