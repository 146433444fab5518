//! The names of commands, and how often each was used in a session.

use std::fmt;

/// The first word of a command line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// No command yet.
    Connect,
    /// RFC 5321 §4.1.1.1.
    Helo,
    /// RFC 5321 §4.1.1.1.
    Ehlo,
    /// RFC 3207.
    Starttls,
    /// RFC 5321 §4.1.1.2.
    Mail,
    /// RFC 5321 §4.1.1.3.
    Rcpt,
    /// RFC 5321 §4.1.1.4.
    Data,
    /// RFC 3030 §2.
    Bdat,
    /// RFC 5321 §4.1.1.5.
    Rset,
    /// RFC 5321 §4.1.1.6.
    Vrfy,
    /// RFC 5321 §4.1.1.8.
    Help,
    /// RFC 5321 §4.1.1.9.
    Noop,
    /// RFC 5321 §4.1.1.10.
    Quit,
    /// A command of some RFC that is not offered here.
    Unsupported,
    /// Anything else.
    Unknown,
}

const VERBS: [(&str, Verb); 21] = [
    ("mail", Verb::Mail),
    ("rcpt", Verb::Rcpt),
    ("data", Verb::Data),
    ("bdat", Verb::Bdat),
    ("ehlo", Verb::Ehlo),
    ("quit", Verb::Quit),
    ("rset", Verb::Rset),
    ("helo", Verb::Helo),
    ("starttls", Verb::Starttls),
    ("noop", Verb::Noop),
    ("vrfy", Verb::Vrfy),
    ("help", Verb::Help),
    ("expn", Verb::Unsupported),
    ("auth", Verb::Unsupported),
    ("etrn", Verb::Unsupported),
    ("turn", Verb::Unsupported),
    ("send", Verb::Unsupported),
    ("soml", Verb::Unsupported),
    ("saml", Verb::Unsupported),
    ("xclient", Verb::Unsupported),
    ("xforward", Verb::Unsupported),
];

impl Verb {
    /// The verb that `word` names, in letters of either case (RFC 5321 §2.4).
    #[must_use]
    pub fn of(word: &str) -> Self {
        VERBS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
            .map_or(Self::Unknown, |&(_, verb)| verb)
    }

    /// Its name in log lines, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Unsupported => "unsupported",
            Self::Unknown => "unknown",
            _ => VERBS
                .iter()
                .find(|&&(_, verb)| verb == self)
                .map_or("unknown", |&(name, _)| name),
        }
    }
}

/// How often each command was given in a session, and how often it was accepted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VerbCounts([(u32, u32); COUNTED.len()]);

/// In the order in which Postfix writes them.
const COUNTED: [Verb; 14] = [
    Verb::Helo,
    Verb::Ehlo,
    Verb::Starttls,
    Verb::Mail,
    Verb::Rcpt,
    Verb::Data,
    Verb::Bdat,
    Verb::Rset,
    Verb::Noop,
    Verb::Vrfy,
    Verb::Help,
    Verb::Quit,
    Verb::Unsupported,
    Verb::Unknown,
];

impl VerbCounts {
    /// The command was given.
    pub fn given(&mut self, verb: Verb) {
        if let Some((_, given)) = self.entry(verb) {
            *given = given.saturating_add(1);
        }
    }

    /// It was accepted.
    pub fn accepted(&mut self, verb: Verb) {
        if let Some((accepted, _)) = self.entry(verb) {
            *accepted = accepted.saturating_add(1);
        }
    }

    fn entry(&mut self, verb: Verb) -> Option<&mut (u32, u32)> {
        let place = COUNTED.iter().position(|&counted| counted == verb)?;
        self.0.get_mut(place)
    }
}

/// ` ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4`, as Postfix ends a session's log with.
impl fmt::Display for VerbCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut show = |name: &str, accepted: u32, given: u32| match given {
            _ if accepted == given => write!(f, " {name}={given}"),
            _ => write!(f, " {name}={accepted}/{given}"),
        };
        let (mut accepted_sum, mut given_sum) = (0_u32, 0_u32);
        for (verb, &(accepted, given)) in COUNTED.iter().zip(&self.0) {
            if given > 0 {
                show(verb.name(), accepted, given)?;
            }
            accepted_sum = accepted_sum.saturating_add(accepted);
            given_sum = given_sum.saturating_add(given);
        }
        show("commands", accepted_sum, given_sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_read_as_in_postfix() {
        let mut counts = VerbCounts::default();
        for word in ["EHLO", "mail", "Rcpt", "rcpt", "xyzzy", "quit"] {
            let verb = Verb::of(word);
            counts.given(verb);
            if verb != Verb::Unknown {
                counts.accepted(verb);
            }
        }
        counts.given(Verb::Rcpt);
        assert_eq!(
            counts.to_string(),
            " ehlo=1 mail=1 rcpt=2/3 quit=1 unknown=0/1 commands=5/7"
        );
    }
}
