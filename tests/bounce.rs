//! Mail that a person bounces: the sender's report (RFC 3464), parsed by Python's email
//! package, and the account of it.

mod support;

use serde_json::{Value, json};
use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};
use support::{
    client::{Client, queue_id, wire},
    poll,
    relay::{DOMAIN, Relay, Settings, text},
    scripted::{Act, Ask, Scripted},
    temp,
};

const MESSAGE: &[u8] = b"Subject: hello\r\nMessage-ID: <one@example.org>\r\n\r\nThe text.\r\n";

/// Reads a report as any program would, and prints what stands in it.
const READER: &str = r#"
import email, email.policy, json, sys
m = email.message_from_bytes(sys.stdin.buffer.read(), policy=email.policy.default)
human, status, returned = m.iter_parts()
blocks = [{k: str(v) for k, v in block.items()} for block in status.get_payload()]
inner = returned.get_payload()
inner = inner[0].as_string() if isinstance(inner, list) else inner
defects = [str(d) for p in m.walk() for d in p.defects]
print(json.dumps({"type": m.get_content_type(), "report_type": m.get_param("report-type"),
    "from": m["From"], "to": [a.addr_spec for a in m["To"].addresses], "auto": m["Auto-Submitted"], "defects": defects,
    "human": human.get_content(), "status_type": status.get_content_type(),
    "blocks": blocks, "returned_type": returned.get_content_type(), "returned": inner}))
"#;

fn read(report: &[u8]) -> Value {
    let mut python = Command::new("python3")
        .args(["-c", READER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(report).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(report));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Sends with the parameters of RFC 3461.
fn send(relay: &Relay, mail: &str, rcpts: &[&str]) -> String {
    let mut client = Client::hello(relay.port()).unwrap();
    client.expect(&format!("MAIL FROM:{mail}"), 250).unwrap();
    for rcpt in rcpts {
        client.expect(&format!("RCPT TO:{rcpt}"), 250).unwrap();
    }
    client.expect("DATA", 354).unwrap();
    client.raw(&wire(MESSAGE)).unwrap();
    let id = queue_id(&client.reply().unwrap()).unwrap();
    client.quit().unwrap();
    id
}

fn start(directory: &std::path::Path, new_server: &Scripted, smarthost: Option<u16>) -> Relay {
    let mut relay = Relay::configured(directory, &Settings::to(new_server.port));
    if let Some(port) = smarthost {
        let mut config = fs::read_to_string(relay.config()).unwrap();
        config += &format!("\n[bounce]\nvia = {{ host = \"127.0.0.1\", port = {port} }}\n");
        fs::write(relay.config(), config).unwrap();
    }
    relay.run();
    relay
}

fn refusing() -> Scripted {
    Scripted::new(|ask| match ask {
        Ask::Rcpt(to) if to.starts_with("eve") => Act::Say("550 5.1.1 No such user here"),
        _ => Act::Go,
    })
}

#[test]
fn the_sender_gets_a_report_once() {
    let directory = temp();
    let (new_server, smarthost) = (refusing(), Scripted::healthy());
    let mut relay = start(directory.path(), &new_server, Some(smarthost.port));
    let id = send(
        &relay,
        "<alice@example.org> RET=FULL ENVID=QQ+2B314",
        &[
            "<eve@corp.example> ORCPT=rfc822;eve+2Blists@old.example NOTIFY=FAILURE",
            "<bob@corp.example>",
            "<eve2@corp.example> NOTIFY=NEVER",
        ],
    );
    relay.ok(&["release", DOMAIN, "--yes"]);
    assert_eq!((relay.count("delivered"), relay.count("parked")), (1, 2));

    let bounced = relay.json(&["bounce", &id, "--yes"]);
    let report = &bounced["reports"][0];
    assert_eq!(report["queue_id"], *id);
    assert_eq!(report["sender"], "alice@example.org");
    assert_eq!(report["silent"], json!(["eve2@corp.example"]));
    assert!(report["report"].is_string(), "{bounced}");
    assert_eq!((relay.count("bounced"), relay.count("parked")), (2, 0));

    smarthost.await_arrivals("the report", |arrivals| arrivals.len() == 1);
    let arrival = smarthost.arrivals().remove(0);
    assert_eq!(arrival.from, "");
    assert_eq!(arrival.recipients, ["alice@example.org"]);
    let read = read(&arrival.message);
    for (name, expected) in [
        ("type", json!("multipart/report")),
        ("report_type", json!("delivery-status")),
        ("to", json!(["alice@example.org"])),
        ("auto", json!("auto-replied")),
        ("defects", json!([])),
        ("status_type", json!("message/delivery-status")),
        ("returned_type", json!("message/rfc822")),
    ] {
        assert_eq!(read[name], expected, "{name}: {read}");
    }
    let human = read["human"].as_str().unwrap();
    assert!(human.contains("550 5.1.1 No such user here"), "{human}");
    assert!(
        !human.contains("bob@") && !human.contains("eve2@"),
        "{human}"
    );
    assert!(read["returned"].as_str().unwrap().contains("The text."));
    let blocks = read["blocks"].as_array().unwrap();
    assert_eq!(blocks.len(), 2, "{read}");
    assert_eq!(blocks[0]["Reporting-MTA"], "dns; hold.example.net");
    assert_eq!(blocks[0]["Original-Envelope-Id"], "QQ+314");
    assert!(blocks[0]["Arrival-Date"].is_string());
    assert_eq!(
        blocks[1],
        json!({
            "Original-Recipient": "rfc822; eve+lists@old.example",
            "Final-Recipient": "rfc822; eve@corp.example",
            "Action": "failed",
            "Status": "5.1.1",
            "Remote-MTA": "dns; 127.0.0.1",
            "Diagnostic-Code": "smtp; 550 5.1.1 No such user here",
        })
    );

    // What is bounced stays so, and its report leaves once, also over a restart.
    assert!(!relay.cli(&["bounce", &id, "--yes"]).status.success());
    poll("the report's account", || {
        let reports = relay.domain("bounce.invalid");
        (reports["states"]["delivered"]["count"] == 1).then_some(())
    });
    relay.kill();
    relay.run();
    assert_eq!(relay.count("bounced"), 2);
    assert_eq!(relay.domain("bounce.invalid")["phase"], "forward");
    assert_eq!(smarthost.arrivals().len(), 1);
    relay.assert_clean();
}

#[test]
fn some_senders_hear_nothing() {
    let directory = temp();
    let (new_server, smarthost) = (refusing(), Scripted::healthy());
    let relay = start(directory.path(), &new_server, Some(smarthost.port));
    let null = send(&relay, "<>", &["<eve@corp.example>"]);
    let never = send(
        &relay,
        "<a@x.example>",
        &["<eve@corp.example> NOTIFY=NEVER"],
    );
    let headers = send(&relay, "<b@x.example> RET=HDRS", &["<eve@corp.example>"]);
    // Held mail was never tried; a person may give it up all the same.
    let said = text(&relay.ok(&["bounce", &null, &never, &headers, "--yes"]));
    assert!(
        said.contains(&format!("{null}: no report, the sender is <>")),
        "{said}"
    );
    assert!(
        said.contains(&format!("{never}: no report, the sender asked for none")),
        "{said}"
    );
    assert_eq!((relay.count("bounced"), relay.count("held")), (3, 0));
    smarthost.await_arrivals("a report", |arrivals| arrivals.len() == 1);
    let arrival = smarthost.arrivals().remove(0);
    assert_eq!(arrival.recipients, ["b@x.example"]);
    let read = read(&arrival.message);
    assert_eq!(read["returned_type"], "text/rfc822-headers");
    let returned = read["returned"].as_str().unwrap();
    assert!(returned.contains("<one@example.org>") && !returned.contains("The text."));
    assert_eq!(read["blocks"][1]["Status"], "5.0.0");
    relay.assert_clean();
}

#[test]
fn without_a_way_out_nothing_changes() {
    let directory = temp();
    let relay = start(directory.path(), &refusing(), None);
    let id = send(&relay, "<alice@example.org>", &["<eve@corp.example>"]);
    let output = relay.cli(&["bounce", &id, "--yes"]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(65), "{error}");
    assert!(error.contains("[bounce]"), "{error}");
    // It asks first; without a terminal it wants --yes.
    assert_eq!(relay.cli(&["bounce", &id]).status.code(), Some(64));
    assert_eq!((relay.count("held"), relay.count("bounced")), (1, 0));
    assert_eq!(relay.events(&id).len(), 0);
}

#[test]
fn a_delay_is_told_once_and_only_to_who_asked() {
    let directory = temp();
    let (new_server, smarthost) = (Scripted::healthy(), Scripted::healthy());
    let mut relay = Relay::configured(directory.path(), &Settings::to(new_server.port));
    relay.configure(&format!(
        "\n[bounce]\nvia = {{ host = \"127.0.0.1\", port = {} }}\ndelay_warning = \"1s\"\n",
        smarthost.port
    ));
    relay.run();
    let to = [
        "<bob@corp.example> NOTIFY=DELAY,FAILURE",
        "<eve@corp.example>",
    ];
    send(&relay, "<nobody@example.org>", &["<bob@corp.example>"]);
    for (count, sender) in [(1, "alice@example.org"), (2, "joe@example.org")] {
        send(&relay, &format!("<{sender}> RET=FULL"), &to);
        smarthost.await_arrivals("a warning", |arrivals| arrivals.len() >= count);
        let arrivals = smarthost.arrivals();
        // Whoever was told before the restart is not told again.
        assert_eq!(arrivals.len(), count);
        let warning = &arrivals[count - 1];
        assert_eq!(warning.recipients, [sender]);
        let report = read(&warning.message);
        let blocks = report["blocks"].as_array().unwrap();
        assert_eq!(blocks.len(), 2, "{report}");
        assert_eq!(blocks[1]["Action"], "delayed");
        assert_eq!(blocks[1]["Status"], "4.0.0");
        assert_eq!(blocks[1]["Final-Recipient"], "rfc822; bob@corp.example");
        assert_eq!(report["returned_type"], "text/rfc822-headers");
        assert_eq!(report["defects"], json!([]));
        relay.stop();
        relay.run();
    }
    relay.assert_clean();
    // It is still delivered.
    relay.ok(&["release", DOMAIN, "--yes"]);
    assert_eq!(new_server.stored().len(), 5 - 2);
    assert_eq!(relay.count("delivered"), 5);
}
