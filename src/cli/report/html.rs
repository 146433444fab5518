//! A report as one page: nothing from outside, no script, readable without colour, on paper and
//! on a phone. The data is in it too, so that `--check` reads the page.

mod parts;
mod plot;

use crate::{
    cli::human,
    report::model::{Grade, Report},
};

const STYLE: &str = include_str!("html/style.css");
/// Around the data. A block of data is no script: nothing runs it.
const DATA: &str = "<script type=\"application/json\" id=\"relay-report\">";
const DATA_END: &str = "</script>";
/// Not even a mistake here loads or runs anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

/// The page.
///
/// # Errors
/// None but a fault of our own.
pub fn page(report: &Report) -> anyhow::Result<String> {
    let names: Vec<&str> = report.domains.iter().map(|domain| &*domain.name).collect();
    let title = match names.as_slice() {
        [] => report.hostname.clone(),
        [one] => (*one).to_owned(),
        [one, rest @ ..] => format!("{one} and {} more", rest.len()),
    };
    let mut body = header(report, &title);
    for part in [
        parts::ledger(report),
        parts::exceptions(report),
        parts::timeline(report),
        plot::section_of(report),
        parts::verification(report),
        parts::mover(report),
        parts::mailboxes(report),
        parts::configuration(report),
        parts::chain(report),
    ] {
        body += &part;
    }
    // The one sequence that would end the block early.
    let data = serde_json::to_string(report)?.replace('<', "\\u003c");
    Ok(format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>Cutover report: {}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>\n\
         {body}</main>\n{DATA}{data}{DATA_END}\n</body>\n</html>\n",
        escape(&title)
    ))
}

/// The data in a page.
#[must_use]
pub fn data(page: &str) -> Option<&str> {
    let (_, rest) = page.split_once(DATA)?;
    Some(rest.split_once(DATA_END)?.0)
}

fn header(report: &Report, title: &str) -> String {
    let mut rows = String::new();
    for verdict in report.verdicts() {
        let (class, mark) = match verdict.grade {
            Grade::Good => ("good", "OK"),
            Grade::Look => ("look", "LOOK"),
            Grade::Bad => ("bad", "FAIL"),
        };
        rows += &format!(
            "<li class=\"{class}\"><b class=\"mark\">{mark}</b> <strong>{}</strong> <span>{}</span></li>\n",
            verdict.part,
            words(&verdict.words)
        );
    }
    format!(
        "<header>\n<p class=\"kind\">Cutover report</p>\n<h1>{}</h1>\n\
         <p class=\"made\">made {} by relay {} on {}</p>\n</header>\n\
         <ul class=\"verdicts\">\n{rows}</ul>\n",
        escape(title),
        time(report.made_ms),
        escape(&report.version),
        escape(&report.hostname)
    )
}

/// Text that cannot become markup, in one line without control characters: much of it comes
/// from strangers.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in human::printable(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The same for our own words, in which commands stand in backquotes.
fn words(text: &str) -> String {
    let parts = escape(text);
    let parts = parts.split('`').enumerate();
    parts
        .map(|(place, part)| match place % 2 {
            0 => part.to_owned(),
            _ => format!("<code>{part}</code>"),
        })
        .collect()
}

/// A time with its zone's offset for machines.
fn time(ms: u64) -> String {
    let zoned = human::local(ms);
    format!(
        "<time datetime=\"{}\">{}</time>",
        zoned.strftime("%Y-%m-%dT%H:%M:%S%:z"),
        human::time(ms)
    )
}

/// A section with its heading.
fn section(id: &str, heading: &str, inner: &str) -> String {
    format!("<section id=\"{id}\">\n<h2>{heading}</h2>\n{inner}</section>\n")
}

/// A table that scrolls by itself where it is too wide; cells are markup already, and columns
/// behind the first so many are numbers.
fn table(head: &[&str], rows: &[Vec<String>], texts: usize) -> String {
    let class = |place: usize| if place < texts { "" } else { " class=\"n\"" };
    let cells = |tag: &str, row: &mut dyn Iterator<Item = &str>| -> String {
        row.enumerate()
            .map(|(place, cell)| format!("<{tag}{}>{cell}</{tag}>", class(place)))
            .collect()
    };
    let mut body = String::new();
    for row in rows {
        body += &format!(
            "<tr>{}</tr>\n",
            cells("td", &mut row.iter().map(String::as_str))
        );
    }
    format!(
        "<div class=\"scroll\" tabindex=\"0\"><table>\n<thead><tr>{}</tr></thead>\n<tbody>\n{body}</tbody>\n</table></div>\n",
        cells("th", &mut head.iter().copied())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::DeliveryReport;
    use crate::spool::State;

    #[test]
    fn what_strangers_said_stays_text_and_the_data_reads_back() {
        let hostile = "</script><script>alert('1')</script><img src=x onerror=\"x\">&\u{1b}[2J";
        let report = Report {
            format: 1,
            hostname: hostile.into(),
            exceptions: vec![DeliveryReport {
                queue_id: "000000000001".into(),
                recipient: hostile.into(),
                sender: hostile.into(),
                arrived_ms: 0,
                size: 1,
                state: State::Parked,
                reason: hostile.into(),
                done: Vec::new(),
            }],
            ..Report::default()
        };
        let page = page(&report).unwrap();
        assert!(!page.contains("<script>") && !page.contains("<img") && !page.contains('\u{1b}'));
        assert_eq!(page.matches("</script>").count(), 1);
        let again: Report = serde_json::from_str(data(&page).unwrap()).unwrap();
        assert_eq!(again, report);
        assert_eq!(data("<p>"), None);
        for outside in ["http://", "https://", "src=", "@import", "url("] {
            let shown = page.replace(&escape(hostile), "");
            let (shown, _) = shown.split_once(DATA).unwrap();
            assert!(!shown.contains(outside), "{outside}");
        }
    }
}
