//! `relay set`

use super::{
    Context, Exit,
    client::{Client, escape},
    domains::Domains,
    exit::Code,
};
use crate::control::{LimitsView, LoadOrder, LoadView};
use clap::Args;
use serde::Serialize;

const KEYS: &str = "connections, rate and bytes_rate";

/// Asks less or more of a destination than the configuration does, while it runs. It is kept
/// over a restart, and ends with `default` or --reset.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Whose destination.
    #[arg(value_name = "DOMAIN")]
    domain: String,
    /// connections=5, rate=600/m (messages; /s, /m, /h), bytes_rate=5MiB/s; `none` is no
    /// limit, `default` the configured one. Without any the limits are shown.
    #[arg(value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Back to what the configuration says, in all of them.
    #[arg(long, conflicts_with = "settings")]
    reset: bool,
    /// Change nothing.
    #[arg(long, conflicts_with_all = ["settings", "reset"])]
    show: bool,
}

/// With `--json`.
#[derive(Serialize)]
struct Shown<'a> {
    domain: &'a str,
    #[serde(flatten)]
    load: &'a LoadView,
}

/// # Errors
/// An unknown domain or key, a value that is none; those of the daemon.
pub async fn run(context: &Context, arguments: Arguments) -> anyhow::Result<()> {
    let order = match arguments.reset {
        true => LoadOrder {
            connections: Some(None),
            rate: Some(None),
            bytes_rate: Some(None),
        },
        false => order(&arguments.settings)?,
    };
    let client = context.daemon().await?;
    let domains = Domains {
        names: vec![arguments.domain],
        all: false,
    };
    for domain in domains.find(&client).await? {
        let load = load(&client, &domain.name, &order).await?;
        if context.screen.json {
            let domain = &domain.name;
            context.screen.json(&Shown {
                domain,
                load: &load,
            })?;
        } else {
            context.screen.line(&text(&domain.name, &load))?;
        }
    }
    Ok(())
}

async fn load(client: &Client, domain: &str, order: &LoadOrder) -> anyhow::Result<LoadView> {
    let path = format!("/v1/domains/{}/load", escape(domain));
    match *order == LoadOrder::default() {
        true => client.get(&path).await,
        false => client.put(&path, order).await,
    }
}

/// What `KEY=VALUE...` order; what a value may be is the daemon's to say.
fn order(settings: &[String]) -> Result<LoadOrder, Exit> {
    let wrong = |text: String| Exit::new(Code::Usage, text);
    let mut order = LoadOrder::default();
    for setting in settings {
        let (key, value) = setting
            .split_once('=')
            .ok_or_else(|| wrong(format!("{setting:?} is not KEY=VALUE; keys are {KEYS}")))?;
        let value = (value != "default").then(|| value.to_owned());
        let again = match key {
            "connections" => {
                let number = |text: String| {
                    let number = text.parse();
                    number.map_err(|_| wrong(format!("connections: {text:?} is no number")))
                };
                let value = value.map(number).transpose()?;
                order.connections.replace(value).is_some()
            }
            "rate" => order.rate.replace(value).is_some(),
            "bytes_rate" => order.bytes_rate.replace(value).is_some(),
            _ => return Err(wrong(format!("there is no limit {key:?}; keys are {KEYS}"))),
        };
        if again {
            return Err(wrong(format!("{key} is there twice")));
        }
    }
    Ok(order)
}

/// A line a limit, with where it comes from.
fn text(domain: &str, load: &LoadView) -> String {
    let LoadView {
        now,
        configured,
        set,
    } = load;
    let LimitsView {
        connections,
        rate,
        bytes_rate,
    } = now;
    let from = |is_set: bool, configured: &dyn std::fmt::Display| match is_set {
        true => format!("set; configured: {configured}"),
        false => "as configured".to_owned(),
    };
    let line = |key: &str, value: &dyn std::fmt::Display, from: String| {
        format!(
            "\n  {key:<11} {value:<10}  {from}",
            value = value.to_string()
        )
    };
    [
        domain.to_owned(),
        line(
            "connections",
            connections,
            from(set.connections.is_some(), &configured.connections),
        ),
        line("rate", rate, from(set.rate.is_some(), &configured.rate)),
        line(
            "bytes_rate",
            bytes_rate,
            from(set.bytes_rate.is_some(), &configured.bytes_rate),
        ),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(line: &str) -> Result<LoadOrder, String> {
        let settings: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        order(&settings).map_err(|exit| exit.to_string())
    }

    #[test]
    fn keys_and_values_become_an_order() {
        assert_eq!(ordered(""), Ok(LoadOrder::default()));
        let expected = LoadOrder {
            connections: Some(Some(5)),
            rate: Some(None),
            bytes_rate: Some(Some("5MiB/s".into())),
        };
        let line = "connections=5 rate=default bytes_rate=5MiB/s";
        assert_eq!(ordered(line), Ok(expected));
        for (line, says) in [
            ("rate", "not KEY=VALUE"),
            ("speed=1", "no limit \"speed\"; keys are connections"),
            ("connections=many", "no number"),
            ("rate=1/s rate=2/s", "twice"),
        ] {
            let error = ordered(line).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }

    #[test]
    fn each_limit_says_where_it_comes_from() {
        use crate::config::{Load, LoadSet};
        let set = LoadSet {
            rate: Some("600/m".parse().unwrap()),
            ..LoadSet::default()
        };
        let view = LoadView::of(Load::default(), set);
        assert_eq!(
            text("corp.example", &view),
            "corp.example\n\
             \x20 connections 20          as configured\n\
             \x20 rate        600/m       set; configured: none\n\
             \x20 bytes_rate  none        as configured"
        );
    }
}
