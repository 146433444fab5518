//! How far a domain's move is, step by step, from what is known and from nothing else.

use super::{
    facts::Known,
    view::{Mark, MoverView, RailView},
};
use crate::{
    ledger::{
        Finding, Verdict,
        cutover::{Step, StepState},
    },
    mail::REPORTS_DOMAIN,
    spool::{DomainStatus, Phase},
};

/// The rail of a domain. That of reports has none: it moves nowhere.
#[must_use]
pub fn rail(status: &DomainStatus, mover: Option<&MoverView>, known: &Known) -> Vec<RailView> {
    if status.name == REPORTS_DOMAIN {
        return Vec::new();
    }
    vec![
        checked(&status.name, known),
        mx(status, known),
        holding(status),
        synced(mover),
        released(status),
        verified(status, known),
    ]
}

fn step(name: &str, mark: Mark) -> RailView {
    RailView {
        step: name.into(),
        mark,
        since_ms: None,
        detail: None,
    }
}

/// What the guided cutover knows of a step.
fn guided(name: &str, domain: &str, which: Step, known: &Known) -> RailView {
    let cutover = known.cutover.as_ref().filter(|one| one.concerns(domain));
    let Some(record) = cutover.and_then(|cutover| cutover.step(which)) else {
        return step(name, Mark::Ahead);
    };
    RailView {
        since_ms: record.ended_ms.or(record.began_ms),
        detail: record.note.clone(),
        ..step(
            name,
            match record.state {
                StepState::Done => Mark::Done,
                StepState::Underway => Mark::Now,
                StepState::Ahead => Mark::Ahead,
                StepState::Skipped => Mark::None,
            },
        )
    }
}

/// The guided cutover knows; without one, whether all checks were made, by `relay check`: the
/// daemon's own looks leave the recipients out.
fn checked(domain: &str, known: &Known) -> RailView {
    let guided = guided("checked", domain, Step::Check, known);
    let Some(checked) = known.checked.as_ref() else {
        return guided;
    };
    let findings = checked.findings.iter();
    let concerns = |one: &&Finding| one.domain.as_deref().is_none_or(|own| own == domain);
    let own: Vec<&Finding> = findings.filter(concerns).collect();
    let asked = (own.iter()).find(|one| one.name == "recipients" && one.domain.is_some());
    let (Mark::Ahead | Mark::None, Some(asked)) = (guided.mark, asked) else {
        return guided;
    };
    let count = |verdict| own.iter().filter(|one| one.verdict == verdict).count();
    let mark = match count(Verdict::Fail) {
        0 => Mark::Done,
        _ => Mark::Wrong,
    };
    let counted = |count, one: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {one}s"),
    };
    RailView {
        since_ms: Some(asked.at_ms),
        detail: Some(format!(
            "{}, {}",
            counted(count(Verdict::Fail), "failure"),
            counted(count(Verdict::Warn), "warning")
        )),
        ..step("checked", mark)
    }
}

/// The DNS says so to the guided cutover; without one, mail that arrives does.
fn mx(status: &DomainStatus, known: &Known) -> RailView {
    let guided = guided("MX moved", &status.name, Step::Mx, known);
    match guided.mark {
        Mark::Ahead | Mark::None if status.last_arrival_ms > 0 => RailView {
            detail: Some("mail arrives here".into()),
            ..step("MX moved", Mark::Done)
        },
        _ => guided,
    }
}

fn holding(status: &DomainStatus) -> RailView {
    let mark = match status.phase {
        Phase::Hold => Mark::Now,
        Phase::Release | Phase::Forward => Mark::Done,
    };
    RailView {
        since_ms: (status.phase == Phase::Hold).then_some(status.phase_since_ms),
        ..step("holding", mark)
    }
}

fn synced(mover: Option<&MoverView>) -> RailView {
    let Some(mover) = mover else {
        return RailView {
            detail: Some("no mover has run".into()),
            ..step("synced", Mark::None)
        };
    };
    let accounts = &mover.accounts;
    let mark = match mover.converged_ms {
        Some(_) => Mark::Done,
        None if accounts.failed > 0 => Mark::Wrong,
        None => Mark::Ahead,
    };
    RailView {
        since_ms: mover.converged_ms,
        detail: Some(format!(
            "{} of {} accounts converged",
            accounts.converged, accounts.total
        )),
        ..step("synced", mark)
    }
}

fn released(status: &DomainStatus) -> RailView {
    let (mark, since_ms) = match status.phase {
        Phase::Hold => (Mark::Ahead, None),
        Phase::Release if status.paused.is_some() => (Mark::Wrong, None),
        Phase::Release => (Mark::Now, Some(status.phase_since_ms)),
        Phase::Forward => (Mark::Done, Some(status.phase_since_ms)),
    };
    let parked = status.ledger.parked.count;
    RailView {
        since_ms,
        detail: (parked > 0).then(|| format!("{parked} parked")),
        ..step("released", mark)
    }
}

/// What the last verification found, once there is something released to be verified.
fn verified(status: &DomainStatus, known: &Known) -> RailView {
    let guided = guided("verified", &status.name, Step::Verify, known);
    if guided.mark == Mark::Now {
        return guided;
    }
    let found = known.verified.as_ref().filter(|verified| {
        let domains = &verified.domains;
        domains.is_empty() || domains.contains(&status.name)
    });
    let Some(found) = found else {
        return step("verified", guided.mark);
    };
    let totals = &found.totals;
    let mark = match (totals.all_there(), status.phase) {
        (false, _) => Mark::Wrong,
        (true, Phase::Forward) => Mark::Done,
        (true, Phase::Hold | Phase::Release) => Mark::Ahead,
    };
    let wrong = [
        (totals.missing, "missing"),
        (totals.differs, "altered"),
        (totals.doubled, "doubled"),
        (totals.unreadable, "not readable"),
    ];
    let wrong = wrong.into_iter().filter(|(count, _)| *count > 0);
    let mut parts = vec![format!("{} =", totals.there)];
    parts.extend(wrong.map(|(count, what)| format!("{count} {what}")));
    RailView {
        since_ms: Some(found.ended_ms),
        detail: Some(parts.join(", ")),
        ..step("verified", mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        control::{fixture, view::AccountsView},
        ledger::{Checked, Cutover, Verified, verified::Counts},
    };
    use std::sync::Arc;

    fn marks(status: &DomainStatus, mover: Option<&MoverView>, known: &Known) -> String {
        let rail = rail(status, mover, known);
        rail.iter().map(|step| step.mark.sign()).collect()
    }

    #[test]
    fn a_domain_without_guide_and_mover_goes_by_its_mail_and_phase() {
        let mut status = fixture::domain("corp.example", Phase::Hold);
        let known = Known::default();
        assert_eq!(marks(&status, None, &known), "  >-  ");
        status.last_arrival_ms = 5;
        assert_eq!(marks(&status, None, &known), " x>-  ");
        status.phase = Phase::Release;
        assert_eq!(marks(&status, None, &known), " xx-> ");
        status.paused = Some("10 refusals in a row".into());
        assert_eq!(marks(&status, None, &known), " xx-! ");
        status.paused = None;
        status.phase = Phase::Forward;
        assert_eq!(marks(&status, None, &known), " xx-x ");
    }

    #[test]
    fn checked_is_what_a_person_had_looked_at_and_what_the_last_looks_found() {
        let mark = |findings: &[(&str, Option<&str>, Verdict)]| {
            let findings = findings.iter().map(|(name, domain, verdict)| Finding {
                name: (*name).into(),
                domain: domain.map(str::to_owned),
                verdict: *verdict,
                found: String::new(),
                fix: None,
                temporary: false,
                at_ms: 7,
            });
            let mut checked = Checked::default();
            checked.record(&findings.collect::<Vec<_>>());
            let known = Known {
                checked: Some(Arc::new(checked)),
                ..Known::default()
            };
            let rail = rail(&fixture::domain("a.example", Phase::Hold), None, &known);
            rail.first().unwrap().mark
        };
        let (here, other) = (Some("a.example"), Some("b.example"));
        // The daemon's own looks are not all.
        assert_eq!(mark(&[("mx", here, Verdict::Ok)]), Mark::Ahead);
        assert_eq!(mark(&[("recipients", other, Verdict::Ok)]), Mark::Ahead);
        let asked = ("recipients", here, Verdict::Warn);
        assert_eq!(mark(&[asked]), Mark::Done);
        assert_eq!(mark(&[asked, ("mx", other, Verdict::Fail)]), Mark::Done);
        assert_eq!(
            mark(&[asked, ("address", None, Verdict::Fail)]),
            Mark::Wrong
        );
    }

    #[test]
    fn verified_is_what_the_last_verification_found_after_the_release() {
        let mark = |phase, domains: &[&str], missing| {
            let totals = Counts {
                there: 7,
                missing,
                ..Counts::default()
            };
            let verified = Verified {
                domains: domains.iter().map(|name| (*name).to_owned()).collect(),
                totals,
                ..Verified::default()
            };
            let known = Known {
                verified: Some(Arc::new(verified)),
                ..Known::default()
            };
            let rail = rail(&fixture::domain("a.example", phase), None, &known);
            rail.last().unwrap().mark
        };
        assert_eq!(mark(Phase::Forward, &[], 0), Mark::Done);
        assert_eq!(mark(Phase::Forward, &["a.example"], 0), Mark::Done);
        assert_eq!(mark(Phase::Forward, &["b.example"], 0), Mark::Ahead);
        assert_eq!(mark(Phase::Forward, &[], 1), Mark::Wrong);
        assert_eq!(mark(Phase::Hold, &[], 0), Mark::Ahead);
    }

    #[test]
    fn the_guide_and_the_mover_say_what_they_know() {
        let mut status = fixture::domain("corp.example", Phase::Hold);
        let mut cutover = Cutover::new(vec!["corp.example".into()], 0);
        cutover.finish(Step::Check, Some("2 warnings".into()), 1);
        cutover.begin(Step::Mx, 2);
        let known = |cutover: &Cutover| Known {
            cutover: Some(Arc::new(cutover.clone())),
            ..Known::default()
        };
        let mut mover = MoverView {
            accounts: AccountsView {
                total: 2,
                failed: 1,
                converged: 1,
                ..AccountsView::default()
            },
            ..MoverView::default()
        };
        // The DNS is being watched: mail that arrives early does not decide.
        status.last_arrival_ms = 5;
        assert_eq!(marks(&status, Some(&mover), &known(&cutover)), "x>>!  ");
        cutover.finish(Step::Mx, None, 3);
        mover.converged_ms = Some(7);
        assert_eq!(marks(&status, Some(&mover), &known(&cutover)), "xx>x  ");
        status.name = "other.example".into();
        status.last_arrival_ms = 0;
        assert_eq!(marks(&status, Some(&mover), &known(&cutover)), "  >x  ");
    }
}
