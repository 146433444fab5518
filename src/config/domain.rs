//! The `[[domain]]` tables: which mail is taken and where it is released to.

use super::{
    Destination,
    destination::destination,
    entry::{Seen, quoted},
    host, keys, paths,
    section::Section,
};
use crate::mail::REPORTS_DOMAIN;
use std::path::{Path, PathBuf};

/// `[[domain]]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Domain {
    /// Its name, in lower case.
    pub name: String,
    /// Which recipients it has.
    pub recipients: Recipients,
    /// The new server.
    pub destination: Destination,
}

/// Which recipients a domain takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Recipients {
    /// All.
    Any,
    /// Those listed in a file, one address or `@domain` a line.
    File(PathBuf),
    /// Those that the destination takes.
    Verify,
}

const DESTINATION_NEEDED: &str =
    "where the mail is released to is needed: destination = { host = \"...\" }";
const NEEDED: &str = "at least one [[domain]] with name and destination is needed";

/// All domains that are sound; about every other a problem was noted.
pub(super) fn domains(root: &Section<'_>, base: &Path) -> Vec<Domain> {
    let sections = root.sections("domain", keys::DOMAIN, NEEDED);
    if sections.is_none() {
        root.missing("domain", NEEDED);
    }
    let mut seen = Seen::default();
    let domains = sections.iter().flatten().filter_map(|section| {
        let name = domain_name(section, &mut seen);
        let recipients = recipients(section, base);
        let destination = destination(section, "destination", DESTINATION_NEEDED, base);
        Some(Domain {
            name: name?,
            recipients: recipients?,
            destination: destination?,
        })
    });
    domains.collect()
}

fn domain_name(section: &Section<'_>, seen: &mut Seen<String>) -> Option<String> {
    let entry = section.required("name", "the domain's name is needed")?;
    let text = entry.text()?;
    match host::name(text) {
        Ok(name) if name == REPORTS_DOMAIN => entry.invalid(format!(
            "{name} is the account of relay's own reports, and no domain that can receive mail"
        )),
        Ok(name) => seen.first(&entry, name.clone()).then_some(name),
        Err(why) => entry.invalid(quoted(text, why)),
    }
}

fn recipients(section: &Section<'_>, base: &Path) -> Option<Recipients> {
    let Some(entry) = section.entry("recipients") else {
        return Some(Recipients::Any);
    };
    let text = entry.text()?;
    match text.strip_prefix("file:") {
        Some(path) if !path.is_empty() => Some(Recipients::File(paths::resolve(base, path))),
        None if text == "any" => Some(Recipients::Any),
        None if text == "verify" => Some(Recipients::Verify),
        _ => {
            let allowed = "\"any\", \"file:PATH\" and \"verify\"".to_owned();
            entry.not_allowed(text, allowed);
            None
        }
    }
}
