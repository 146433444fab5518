//! This host's clock. Nobody is asked for the time; it is compared with what came along
//! anyway: the Date of the web servers with MTA-STS policies, and the spool's own past.

use super::{fail, moment, ok, time, warn};
use crate::ledger::Finding;
use std::time::Duration;

const NAME: &str = "clock";
/// A certificate or a token may fail for less than the second.
const OFF: Duration = Duration::from_secs(60);
const FAR_OFF: Duration = Duration::from_secs(3_600);

pub(super) fn check(now_ms: u64, told_ms: &[u64], newest_ms: Option<u64>) -> Finding {
    let fix = "have the clock set: chronyd, systemd-timesyncd";
    let ahead = newest_ms.map_or(0, |newest| newest.saturating_sub(now_ms));
    let ahead = Duration::from_millis(ahead);
    if ahead > OFF {
        let found = format!(
            "{}, and mail in the spool arrived {} after that: the clock went back",
            moment(now_ms),
            time(ahead)
        );
        return fail(NAME, found, fix);
    }
    let mut off: Vec<u64> = told_ms.iter().map(|told| told.abs_diff(now_ms)).collect();
    off.sort_unstable();
    // The middle one: a single web server may be wrong itself.
    let Some(off) = off.get(off.len() / 2).copied().map(Duration::from_millis) else {
        let found = "nothing to compare it with (no web server with a policy told the time)";
        return ok(NAME, format!("{}; {found}", moment(now_ms)));
    };
    let found = format!(
        "{}, {} from what {} of policies say",
        moment(now_ms),
        time(off),
        super::counted(told_ms.len(), "web server")
    );
    match off {
        _ if off > FAR_OFF => fail(NAME, found, fix),
        _ if off > OFF => warn(NAME, found, fix),
        _ => ok(NAME, found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Verdict::{Fail, Ok, Warn};

    #[test]
    fn one_that_is_off_is_said_and_one_web_server_alone_cannot_say_it() {
        let now = 1_795_428_000_000;
        let of = |told: &[u64]| check(now, told, None).verdict;
        assert_eq!(of(&[]), Ok);
        assert_eq!(of(&[now - 2_000]), Ok);
        assert_eq!(of(&[now + 120_000]), Warn);
        assert_eq!(of(&[now - 7_200_000]), Fail);
        assert_eq!(of(&[now, now + 7_200_000, now]), Ok);
        assert_eq!(check(now, &[now], Some(now + 90_000)).verdict, Fail);
    }
}
