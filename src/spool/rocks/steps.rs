//! The life of a delivery: which step may be taken from where, and what it leads to.

use super::record::DeliveryRecord;
use crate::{
    mail::DeliveryId,
    spool::{Cause, Phase, SpoolError, Standing, State, Step, Transition},
};

/// What a step does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// An attempt begins; the delivery stays where it stands.
    Begin,
    /// The attempt ends without result; the delivery stays where it stands.
    End,
    /// The delivery moves; an attempt under way ends.
    Move(Standing),
}

/// Checks a step against where the delivery stands.
///
/// # Errors
/// [`SpoolError::Conflict`].
pub fn effect(
    transition: &Transition,
    record: &DeliveryRecord,
    phase: Phase,
    attempting: bool,
) -> Result<Effect, SpoolError> {
    use Standing::{Bounced, Deferred, Delivered, Dropped, InDoubt, Parked, Waiting};
    let by_person = matches!(transition.cause, Cause::Operator(_));
    let effect = match (transition.step, record.standing) {
        // A domain that went back to hold sends nothing more.
        (Step::Attempt, Waiting | Deferred { .. }) if !attempting && phase != Phase::Hold => {
            Effect::Begin
        }
        (Step::Recall, _) if attempting => Effect::End,
        (Step::Deliver, _) if attempting => Effect::Move(Delivered),
        (Step::Doubt { due_ms }, _) if attempting => Effect::Move(InDoubt { due_ms }),
        (Step::Defer { due_ms }, Waiting | Deferred { .. }) => Effect::Move(Deferred { due_ms }),
        (Step::Park, Waiting | Deferred { .. } | InDoubt { .. }) if !(attempting && by_person) => {
            Effect::Move(Parked)
        }
        (Step::Retry, Deferred { .. } | InDoubt { .. } | Parked) if !attempting => {
            Effect::Move(Waiting)
        }
        (Step::Found, InDoubt { .. }) => Effect::Move(Delivered),
        (Step::Absent, InDoubt { .. }) => Effect::Move(Waiting),
        // Its history goes on; whether it is still there is asked before it is sent.
        (Step::Rewind, Delivered) => Effect::Move(InDoubt {
            due_ms: transition.at_ms,
        }),
        (Step::Bounce, Waiting | Deferred { .. } | InDoubt { .. } | Parked) if !attempting => {
            Effect::Move(Bounced)
        }
        (Step::Drop, Waiting | Deferred { .. } | InDoubt { .. } | Parked) if !attempting => {
            Effect::Move(Dropped)
        }
        _ => {
            return Err(conflict(
                transition.delivery,
                record.standing.state(phase),
                transition.step,
            ));
        }
    };
    Ok(effect)
}

fn conflict(delivery: DeliveryId, state: State, step: Step) -> SpoolError {
    SpoolError::Conflict {
        delivery,
        state,
        step: step.done(),
    }
}
