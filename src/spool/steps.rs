//! The life of a delivery: which step may be taken from where, and what it leads to.

use super::{Cause, Phase, SpoolError, Standing, Step, Transition};

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

impl Transition {
    /// What it does to a delivery that stands there, in a domain in this phase, with an
    /// attempt under way or not.
    ///
    /// # Errors
    /// [`SpoolError::Conflict`].
    pub(crate) fn effect(
        &self,
        standing: Standing,
        phase: Phase,
        attempting: bool,
    ) -> Result<Effect, SpoolError> {
        use Standing::{Bounced, Deferred, Delivered, Dropped, InDoubt, Parked, Waiting};
        let by_person = matches!(self.cause, Cause::Operator(_));
        let effect = match (self.step, standing) {
            // A domain that went back to hold sends nothing more.
            (Step::Attempt, Waiting | Deferred { .. }) if !attempting && phase != Phase::Hold => {
                Effect::Begin
            }
            (Step::Recall, _) if attempting => Effect::End,
            (Step::Deliver, _) if attempting => Effect::Move(Delivered),
            (Step::Doubt { due_ms }, _) if attempting => Effect::Move(InDoubt { due_ms }),
            (Step::Defer { due_ms }, Waiting | Deferred { .. }) => {
                Effect::Move(Deferred { due_ms })
            }
            (Step::Park, Waiting | Deferred { .. } | InDoubt { .. })
                if !(attempting && by_person) =>
            {
                Effect::Move(Parked)
            }
            (Step::Retry, Deferred { .. } | InDoubt { .. } | Parked) if !attempting => {
                Effect::Move(Waiting)
            }
            (Step::Found, InDoubt { .. }) => Effect::Move(Delivered),
            (Step::Absent, InDoubt { .. }) => Effect::Move(Waiting),
            // Its history goes on; whether it is still there is asked before it is sent.
            (Step::Rewind, Delivered) => Effect::Move(InDoubt { due_ms: self.at_ms }),
            (Step::Bounce, Waiting | Deferred { .. } | InDoubt { .. } | Parked) if !attempting => {
                Effect::Move(Bounced)
            }
            (Step::Drop, Waiting | Deferred { .. } | InDoubt { .. } | Parked) if !attempting => {
                Effect::Move(Dropped)
            }
            _ => return Err(self.conflict(standing, phase)),
        };
        Ok(effect)
    }

    /// The delivery stands where this step cannot be taken.
    pub(crate) fn conflict(&self, standing: Standing, phase: Phase) -> SpoolError {
        SpoolError::Conflict {
            delivery: self.delivery,
            state: standing.state(phase),
            step: self.step.done(),
        }
    }

    /// Whether it changes what the delivery's lane may do next, as a person's decision or a
    /// policy's does. A release knows the steps of its own attempts.
    pub(crate) fn requeues(&self) -> bool {
        match self.step {
            Step::Retry | Step::Absent | Step::Found | Step::Rewind | Step::Bounce | Step::Drop => {
                true
            }
            Step::Park => matches!(self.cause, Cause::Operator(_)),
            _ => false,
        }
    }
}
