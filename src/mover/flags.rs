//! Which flags a message gets at the target.
//!
//! A flag that a server does not take refuses the whole APPEND, so those that its
//! PERMANENTFLAGS leave out are left out, and reported.

/// What the target's folder takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Permanent {
    /// PERMANENTFLAGS; none: the server said nothing, and takes all (RFC 9051 §7.1).
    flags: Option<Vec<String>>,
}

/// A message's flags at the target.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// To be set.
    pub flags: Vec<String>,
    /// The target does not take them.
    pub lost: Vec<String>,
}

impl Permanent {
    /// From what SELECT said.
    #[must_use]
    pub fn new(flags: Option<Vec<String>>) -> Self {
        Self { flags }
    }

    /// Parts a message's flags. `\Recent` is the session's and never set by a client
    /// (RFC 3501 §2.3.2).
    #[must_use]
    pub fn filter(&self, flags: &[String]) -> Kept {
        let mut kept = Kept::default();
        for flag in flags {
            if flag.eq_ignore_ascii_case("\\Recent") {
                continue;
            }
            let list = if self.takes(flag) {
                &mut kept.flags
            } else {
                &mut kept.lost
            };
            if !list.iter().any(|there| there.eq_ignore_ascii_case(flag)) {
                list.push(flag.clone());
            }
        }
        kept
    }

    fn takes(&self, flag: &str) -> bool {
        let Some(permanent) = &self.flags else {
            return is_sendable(flag);
        };
        let named = permanent.iter().any(|one| one.eq_ignore_ascii_case(flag));
        // `\*`: new keywords can be made; a system flag that is not named cannot.
        let new = !flag.starts_with('\\') && permanent.iter().any(|one| one == "\\*");
        is_sendable(flag) && (named || new)
    }
}

/// System flags, and keywords.
#[must_use]
pub fn parted(flags: &[String]) -> (Vec<String>, Vec<String>) {
    flags
        .iter()
        .cloned()
        .partition(|flag| flag.starts_with('\\'))
}

/// Why a message lacks these keywords, which PERMANENTFLAGS promise to take.
#[must_use]
pub fn left_out(keywords: &[String]) -> String {
    format!(
        "the target does not take the keywords {}",
        keywords.join(" ")
    )
}

/// Whether it is an atom, perhaps behind a backslash (RFC 9051 §9, flag).
fn is_sendable(flag: &str) -> bool {
    let atom = flag.strip_prefix('\\').unwrap_or(flag);
    !atom.is_empty()
        && (atom.bytes()).all(|byte| byte.is_ascii_graphic() && !b"(){%*\"\\]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(flags: &str) -> Vec<String> {
        flags.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn only_what_the_target_takes_is_set() {
        for (permanent, flags, kept, lost) in [
            (
                Some("\\Seen \\Flagged \\*"),
                "\\seen $Forwarded",
                "\\seen $Forwarded",
                "",
            ),
            (
                Some("\\Seen \\Flagged"),
                "\\Seen \\Draft work",
                "\\Seen",
                "\\Draft work",
            ),
            (Some("\\Seen \\*"), "\\Draft work", "work", "\\Draft"),
            (Some("\\Seen work"), "WORK play", "WORK", "play"),
            (None, "\\Seen work", "\\Seen work", ""),
            (Some(""), "\\Seen", "", "\\Seen"),
            (None, "\\Recent \\Seen \\SEEN", "\\Seen", ""),
            (Some("\\*"), "a(b x\\y ü ok", "ok", "a(b x\\y ü"),
        ] {
            let permanent = Permanent::new(permanent.map(texts));
            let expected = Kept {
                flags: texts(kept),
                lost: texts(lost),
            };
            assert_eq!(permanent.filter(&texts(flags)), expected, "{flags}");
        }
    }
}
