//! The sections.

use super::{escape, section, table, time, words};
use crate::{
    cli::human,
    ledger::{
        AccountState,
        verified::{Counts, SourceReach},
    },
    report::model::{DeliveryReport, Report},
    spool::State,
};

/// Rows of a table, and exceptions that are shown; the data has more.
const ROWS_MAX: usize = 1_000;

/// What is where.
pub fn ledger(report: &Report) -> String {
    let totals = &report.totals;
    let shown: Vec<State> = State::ALL
        .into_iter()
        .filter(|state| totals.states.get(*state).count > 0 || *state == State::Delivered)
        .collect();
    let mut head = vec!["domain", "phase", "accepted"];
    head.extend(shown.iter().map(|state| state.name()));
    head.push("balance");
    let mut rows: Vec<Vec<String>> = Vec::new();
    for domain in report.domains.iter().take(ROWS_MAX) {
        let mut row = vec![
            escape(&domain.name),
            domain.phase.name().to_owned(),
            human::count(domain.accepted.count),
        ];
        row.extend(
            shown
                .iter()
                .map(|state| human::count(domain.states.get(*state).count)),
        );
        row.push(balance(domain.balanced));
        rows.push(row);
    }
    if report.domains.len() > 1 {
        let mut row = vec![
            "<strong>all</strong>".to_owned(),
            String::new(),
            human::count(totals.accepted.count),
        ];
        row.extend(
            shown
                .iter()
                .map(|state| human::count(totals.states.get(*state).count)),
        );
        row.push(balance(totals.balanced));
        rows.push(row);
    }
    let mut inner = format!(
        "<p>{} accepted, {}. A delivery is a message to one recipient, and is in exactly one \
         state.</p>\n",
        human::counted(totals.accepted.count, "delivery", "deliveries"),
        human::size(totals.accepted.bytes)
    );
    inner += &table(&head, &rows, 2);
    if totals.resent > 0 {
        inner += &format!(
            "<p><b class=\"mark\">LOOK</b> {} sent again after a connection was lost behind the \
             end of the data: they may be there twice.</p>\n",
            human::counted(totals.resent, "delivery was", "deliveries were")
        );
    }
    section("ledger", "Where every delivery is", &inner)
}

fn balance(balanced: bool) -> String {
    let (class, text) = if balanced {
        ("good", "balanced")
    } else {
        ("bad", "NOT balanced")
    };
    format!("<span class=\"{class}\">{text}</span>")
}

/// Deliveries about which there is something to say.
pub fn exceptions(report: &Report) -> String {
    let all = report.exceptions.len() as u64 + report.exceptions_more;
    if all == 0 {
        let inner = "<p>None: every delivery that was sent went the ordinary way.</p>\n";
        return section("exceptions", "Deliveries to look at", inner);
    }
    let mut inner = String::from("<ul class=\"cards\">\n");
    for one in report.exceptions.iter().take(ROWS_MAX) {
        inner += &card(one);
    }
    inner += "</ul>\n";
    inner += &more(
        all,
        report.exceptions.len(),
        "<code>relay list --state parked</code> and so on",
    );
    let heading = format!("Deliveries to look at ({})", human::count(all));
    section("exceptions", &heading, &inner)
}

fn card(one: &DeliveryReport) -> String {
    let steps: String = one
        .done
        .iter()
        .map(|step| {
            format!(
                "<li>{} <b>{}</b> {}</li>\n",
                time(step.at_ms),
                escape(&step.step),
                escape(&step.why)
            )
        })
        .collect();
    let steps = if steps.is_empty() {
        String::new()
    } else {
        format!("<ol>\n{steps}</ol>\n")
    };
    format!(
        "<li>\n<p class=\"what\"><b class=\"state\">{}</b> <code>{}</code> {} &rarr; {}</p>\n\
         <p class=\"why\">{}</p>\n{steps}<p class=\"small\">arrived {}, {}</p>\n</li>\n",
        one.state.name(),
        escape(&one.queue_id),
        escape(&human::sender(&one.sender)),
        escape(&one.recipient),
        escape(&one.reason),
        time(one.arrived_ms),
        human::size(one.size)
    )
}

fn more(all: u64, kept: usize, where_to: &str) -> String {
    let shown = kept.min(ROWS_MAX) as u64;
    match all.saturating_sub(shown) {
        0 => String::new(),
        more => format!("<p>and {} more: {where_to}</p>\n", human::count(more)),
    }
}

/// What happened, in its order.
pub fn timeline(report: &Report) -> String {
    let mut events: Vec<(u64, String)> = Vec::new();
    for domain in &report.domains {
        for event in &domain.events {
            let text = format!(
                "<strong>{}</strong> {} <span class=\"small\">({})</span>",
                escape(&domain.name),
                escape(&event.what),
                escape(&event.cause)
            );
            events.push((event.at_ms, text));
        }
    }
    if let Some(at) = report.mover.as_ref().and_then(|moved| moved.converged_ms) {
        events.push((
            at,
            "<strong>mover</strong> all accounts have converged".into(),
        ));
    }
    if let Some(verified) = &report.verified {
        let text = format!(
            "<strong>verification</strong> {} in {}",
            if verified.totals.all_there() {
                "all there, once"
            } else {
                "NOT all there, once"
            },
            human::duration(verified.ended_ms.saturating_sub(verified.began_ms))
        );
        events.push((verified.ended_ms, text));
    }
    events.sort();
    let mut inner = String::from("<ol class=\"timeline\">\n");
    let mut before: Option<u64> = None;
    for (at, text) in events.iter().take(ROWS_MAX) {
        let since = before.map_or(String::new(), |before| {
            format!(
                " <span class=\"small\">+{}</span>",
                human::duration(at.saturating_sub(before))
            )
        });
        inner += &format!("<li>{}{since}<br>{text}</li>\n", time(*at));
        before = Some(*at);
    }
    inner += "</ol>\n";
    for domain in &report.domains {
        inner += &format!(
            "<p><strong>{}</strong> next: {}</p>\n",
            escape(&domain.name),
            words(&domain.next)
        );
    }
    section("timeline", "What happened", &inner)
}

/// What the last verification found.
pub fn verification(report: &Report) -> String {
    let Some(verified) = &report.verified else {
        let inner = "<p><code>relay verify</code> has not run.</p>\n";
        return section("verification", "Verification", inner);
    };
    let reach = match verified.source {
        SourceReach::Map => "what the mover noted of the old server",
        SourceReach::Listed => "the old server's list of messages and what the mover noted",
        SourceReach::Read => "every message of the old server, read again",
    };
    let mut inner = format!(
        "<p>{} compared the new server with {reach}, and with what relay released: {} read.</p>\n",
        time(verified.ended_ms),
        human::size(verified.bytes)
    );
    let head = [
        "mailbox",
        "= there",
        "&minus; missing",
        "* altered",
        "+ extra",
        "! unreadable",
        "waiting",
    ];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for mailbox in verified.mailboxes.iter().take(ROWS_MAX) {
        let mut name = escape(&mailbox.mailbox);
        for remark in &mailbox.remarks {
            name += &format!("<br><span class=\"small\">{}</span>", escape(remark));
        }
        rows.push(counts_row(name, &mailbox.counts));
    }
    if verified.mailboxes.len() > 1 {
        rows.push(counts_row("<strong>all</strong>".into(), &verified.totals));
    }
    inner += &table(&head, &rows, 1);
    if !verified.exceptions.is_empty() {
        inner += "<ul class=\"cards\">\n";
        for one in verified.exceptions.iter().take(ROWS_MAX) {
            inner += &format!(
                "<li>\n<p class=\"what\"><b class=\"state\">{} {}</b> {} {}</p>\n\
                 <p class=\"why\">{}</p>\n</li>\n",
                one.kind.mark(),
                one.kind.word(),
                escape(&one.mailbox),
                escape(&one.named()),
                words(&one.reason)
            );
        }
        inner += "</ul>\n";
    }
    let all = verified.exceptions.len() as u64 + verified.exceptions_more;
    inner += &more(
        all,
        verified.exceptions.len(),
        "<code>relay verify</code> names them",
    );
    section("verification", "Verification", &inner)
}

fn counts_row(name: String, counts: &Counts) -> Vec<String> {
    let extra = counts.extra + counts.doubled + counts.split;
    let mut row = vec![name];
    for count in [
        counts.there,
        counts.missing,
        counts.differs,
        extra,
        counts.unreadable,
        counts.waiting,
    ] {
        row.push(human::count(count));
    }
    row
}

/// What the mover said last.
pub fn mover(report: &Report) -> String {
    let Some(moved) = &report.mover else {
        let inner = "<p><code>relay move</code> has not run.</p>\n";
        return section("mover", "Mailboxes copied", inner);
    };
    let mut inner = format!(
        "<p>{} of {} messages, {} of {}, in {}; {}.</p>\n",
        human::count(moved.messages.done),
        human::count(moved.messages.total),
        human::size(moved.bytes.done),
        human::size(moved.bytes.total),
        human::counted(moved.passes, "pass", "passes"),
        match moved.converged_ms {
            Some(at) => format!("converged {}", time(at)),
            None => escape(moved.not_yet.as_deref().unwrap_or("not converged")),
        }
    );
    let head = ["account", "state", "messages", "size", "refused", "altered"];
    let rows: Vec<Vec<String>> = (moved.accounts.iter().take(ROWS_MAX))
        .map(|account| {
            let mut state = account_state(account.state).to_owned();
            if let Some(reason) = &account.reason {
                state += &format!("<br><span class=\"small\">{}</span>", escape(reason));
            }
            vec![
                escape(&account.target),
                state,
                human::count(account.messages.done),
                human::size(account.bytes.done),
                human::count(account.refused),
                human::count(account.altered),
            ]
        })
        .collect();
    inner += &table(&head, &rows, 2);
    let all = moved.accounts.len();
    inner += &more(all as u64, all, "in the data of this page");
    section("mover", "Mailboxes copied", &inner)
}

fn account_state(state: AccountState) -> &'static str {
    match state {
        AccountState::Waiting => "waiting",
        AccountState::Copying => "copying",
        AccountState::Copied => "copied",
        AccountState::Converged => "converged",
        AccountState::Paused => "paused",
        AccountState::Failed => "FAILED",
    }
}

/// Where mail went.
pub fn mailboxes(report: &Report) -> String {
    let shown: Vec<State> = State::ALL
        .into_iter()
        .filter(|state| {
            report
                .mailboxes
                .iter()
                .any(|one| one.states.contains_key(state))
        })
        .collect();
    let mut head = vec!["mailbox", "accepted"];
    head.extend(shown.iter().map(|state| state.name()));
    let rows: Vec<Vec<String>> = (report.mailboxes.iter().take(ROWS_MAX))
        .map(|mailbox| {
            let mut row = vec![escape(&mailbox.mailbox), human::count(mailbox.accepted)];
            let count = |state| mailbox.states.get(state).copied().unwrap_or(0);
            row.extend(shown.iter().map(|state| human::count(count(state))));
            row
        })
        .collect();
    let mut inner = table(&head, &rows, 1);
    let all = report.mailboxes.len() as u64 + report.mailboxes_more;
    inner += &more(
        all,
        report.mailboxes.len(),
        "<code>relay list --state all</code>",
    );
    section("mailboxes", "Mail by mailbox", &inner)
}

/// As it was, without secrets.
pub fn configuration(report: &Report) -> String {
    let lines: Vec<String> = report.configuration.lines().map(escape).collect();
    let inner = format!("<pre>{}</pre>\n", lines.join("\n"));
    section("configuration", "Configuration", &inner)
}

/// By what it can be checked.
pub fn chain(report: &Report) -> String {
    let chain = &report.chain;
    let inner = format!(
        "<p>All {} and {} are hashed one behind the other (BLAKE3), so that none can be removed or \
         changed unnoticed. The head:</p>\n<p><code class=\"hash\">{}</code></p>\n\
         <p>Keep it elsewhere. <code>relay report --check FILE</code> computes the chain in this \
         page again, and compares it with the spool.</p>\n<p class=\"small\">{}</p>\n",
        human::counted(chain.messages, "message", "messages"),
        human::counted(chain.events, "event", "events"),
        escape(&chain.head),
        escape(&crate::cli::report::text::chain_line(chain))
    );
    section("chain", "Proof", &inner)
}
