//! The steps with their times, in lines of even columns.

use super::plan::Planned;
use crate::ledger::{
    Cutover,
    cutover::{StepRecord, StepState},
};

/// A line for each step of the plan, done or not, and one for all of them.
/// `duration` writes milliseconds for people.
#[must_use]
pub fn lines(
    record: &Cutover,
    plan: &[Planned],
    now_ms: u64,
    duration: impl Fn(u64) -> String,
) -> Vec<String> {
    let mut lines = vec![row("step", "state", "took", "tries", "")];
    for planned in plan {
        let Some(step) = record.step(planned.step) else {
            continue;
        };
        let took = step.took_ms(now_ms).map_or_else(String::new, &duration);
        let tries = if step.tries > 1 {
            step.tries.to_string()
        } else {
            String::new()
        };
        let note = note(step, planned);
        lines.push(row(planned.step.name(), state(step), &took, &tries, note));
    }
    let ends = record.steps.iter().filter_map(|step| step.ended_ms).max();
    let end_ms = match record.next() {
        None => ends.unwrap_or(now_ms),
        Some(_) => now_ms,
    };
    let total = duration(end_ms.saturating_sub(record.began_ms));
    lines.push(row("total", "", &total, "", ""));
    lines
}

fn state(step: &StepRecord) -> &'static str {
    match step.state {
        StepState::Ahead => "to come",
        StepState::Underway => "under way",
        StepState::Done => "done",
        StepState::Skipped => "left out",
    }
}

/// How it ended; before, what it will do.
fn note<'a>(step: &'a StepRecord, planned: &'a Planned) -> &'a str {
    match (&step.note, &planned.skipped) {
        (Some(note), _) => note,
        (None, Some(why)) if !step.is_over() => why,
        (None, _) if step.is_over() => "",
        (None, _) => &planned.does,
    }
}

fn row(step: &str, state: &str, took: &str, tries: &str, note: &str) -> String {
    let line = format!("  {step:<11} {state:<10} {took:>10} {tries:>6}  {note}");
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::cutover::Step;

    #[test]
    fn every_step_has_its_time_and_the_end_counts_all() {
        let mut record = Cutover::new(vec!["a.example".into()], 0);
        record.begin(Step::Check, 0);
        record.finish(Step::Check, Some("2 warnings".into()), 4_000);
        record.skip(Step::FirstPass, "no [mover]".into());
        record.begin(Step::Mx, 4_000);
        record.begin(Step::Mx, 5_000);
        let plan: Vec<Planned> = [Step::Check, Step::FirstPass, Step::Mx, Step::Hold]
            .map(|step| Planned {
                step,
                does: format!("does {}", step.name()),
                skipped: None,
            })
            .into();
        let seconds = |ms: u64| format!("{} s", ms / 1000);
        assert_eq!(
            lines(&record, &plan, 9_000, seconds),
            [
                "  step        state            took  tries",
                "  check       done              4 s         2 warnings",
                "  first pass  left out                      no [mover]",
                "  MX          under way         5 s      2  does MX",
                "  hold        to come                       does hold",
                "  total                         9 s",
            ]
        );
    }
}
