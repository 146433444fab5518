//! MTA-STS (RFC 8461): a domain's promise that its mail goes only to certain hosts, over
//! TLS with a good certificate. Senders remember it, for weeks often, and with a policy
//! that does not name the relay they wait, and bounce in the end.

use super::{
    Checker, Relay, fail,
    https::{self, FetchError, Fetched},
    ok, time, unanswered, warn,
};
use crate::ledger::Finding;
use std::time::Duration;

const NAME: &str = "mta-sts";

/// RFC 8461 §3.2.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Policy {
    mode: Mode,
    mx: Vec<String>,
    max_age: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Enforce,
    Testing,
    None,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Testing => "testing",
            Self::None => "none",
        }
    }
}

/// With the time by the clock of the web server that has the policy.
pub(super) async fn check(
    checker: &Checker,
    domain: &str,
    relay: &Relay,
) -> (Finding, Option<u64>) {
    let texts = match checker.dns.txt(&format!("_mta-sts.{domain}")).await {
        Ok(answer) => answer.records,
        Err(error) => return (unanswered(NAME, &error), None),
    };
    let records = texts.iter().filter(|text| text.starts_with("v=STSv1"));
    match records.count() {
        0 => return (ok(NAME, "no policy"), None),
        1 => {}
        more => {
            // RFC 8461 §3.1.
            let found = format!("{more} records at _mta-sts.{domain}: senders see none");
            return (warn(NAME, found, "leave one"), None);
        }
    }
    let host = format!("mta-sts.{domain}");
    match https::fetch(checker, &host, "/.well-known/mta-sts.txt").await {
        Ok(Fetched { body, date_ms }) => (judge(checker, &body, relay), date_ms),
        Err(error) => {
            let temporary = matches!(error, FetchError::Silent | FetchError::Dns(_));
            let found = format!("the policy at https://{host} cannot be had: {error}");
            let fix = "mend the web server: senders that remember the old policy keep to it, and \
                       cannot learn of a new one";
            let finding = Finding {
                temporary,
                ..fail(NAME, found, fix)
            };
            (finding, None)
        }
    }
}

fn judge(checker: &Checker, body: &str, relay: &Relay) -> Finding {
    let hostname = &checker.config.hostname;
    let policy = match Policy::parse(body) {
        Ok(policy) => policy,
        Err(why) => {
            let found = format!("the policy cannot be used: {why}");
            return fail(NAME, found, "write it as RFC 8461 §3.2 has it");
        }
    };
    let (mode, age) = (policy.mode.word(), time(policy.max_age));
    if policy.mode == Mode::None {
        return ok(NAME, format!("mode=none, max_age {age}"));
    }
    if !policy.lists(hostname) {
        let found = format!(
            "mode={mode} lists only {}, not {hostname}",
            super::listed(&policy.mx)
        );
        let fix = format!(
            "add \"mx: {hostname}\", change id= in _mta-sts, wait max_age ({age}) before moving \
             the MX"
        );
        return match policy.mode {
            Mode::Enforce => fail(NAME, found, fix),
            _ => warn(NAME, found, fix),
        };
    }
    let found = format!("mode={mode} lists {hostname}, max_age {age}");
    if policy.mode == Mode::Enforce && relay.trusted == Some(false) {
        let found = format!("{found}, and the relay's certificate is not of a known authority");
        return fail(NAME, found, "see to `certificate` before moving the MX");
    }
    ok(NAME, found)
}

impl Policy {
    fn parse(text: &str) -> Result<Self, String> {
        let value = |key: &'static str| {
            text.lines().filter_map(move |line| {
                let (name, value) = line.split_once(':')?;
                (name.trim() == key).then(|| value.trim().to_owned())
            })
        };
        let one = |key: &'static str| value(key).next().ok_or(format!("`{key}` is missing"));
        if one("version")? != "STSv1" {
            return Err("`version` is not STSv1".into());
        }
        let mode = match &*one("mode")? {
            "enforce" => Mode::Enforce,
            "testing" => Mode::Testing,
            "none" => Mode::None,
            other => return Err(format!("`mode` is {other:?}")),
        };
        let seconds = one("max_age")?.parse().ok();
        let mx: Vec<String> = value("mx").map(|mx| mx.to_lowercase()).collect();
        if mx.is_empty() && mode != Mode::None {
            return Err("`mx` is missing".into());
        }
        Ok(Self {
            mode,
            mx,
            max_age: Duration::from_secs(seconds.ok_or("`max_age` is no number")?),
        })
    }

    /// RFC 8461 §4.1: a `*.` stands for one label.
    fn lists(&self, hostname: &str) -> bool {
        let hostname = hostname.to_lowercase();
        let parent = hostname.split_once('.').map(|(_, parent)| parent);
        self.mx.iter().any(|mx| match mx.strip_prefix("*.") {
            Some(suffix) => parent == Some(suffix),
            None => *mx == hostname,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read() {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: Mail.example\r\nmx: *.mx.example\r\n\
                    max_age: 604800\r\n";
        let policy = Policy::parse(text).unwrap();
        assert_eq!(
            (policy.mode, policy.max_age.as_secs()),
            (Mode::Enforce, 604_800)
        );
        for (host, listed) in [
            ("mail.example", true),
            ("a.mx.example", true),
            ("mx.example", false),
            ("a.b.mx.example", false),
        ] {
            assert_eq!(policy.lists(host), listed, "{host}");
        }
    }

    #[test]
    fn a_broken_policy_says_where() {
        for (text, expected) in [
            ("", "`version` is missing"),
            (
                "version: STSv1\nmode: off\nmax_age: 1\n",
                "`mode` is \"off\"",
            ),
            (
                "version: STSv1\nmode: enforce\nmax_age: 1\n",
                "`mx` is missing",
            ),
            (
                "version: STSv1\nmode: none\nmax_age: x\n",
                "`max_age` is no number",
            ),
        ] {
            assert_eq!(Policy::parse(text).unwrap_err(), expected);
        }
    }
}
