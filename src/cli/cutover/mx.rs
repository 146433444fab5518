//! The MX comes here.

use super::guide::{Guide, Weight};
use crate::cutover::plan::Dns;

/// # Errors
/// A no; the domains that are not held.
pub async fn move_here(guide: &Guide<'_>) -> anyhow::Result<Option<String>> {
    // Before, so that nothing that arrives early is passed on.
    super::release::hold(guide).await?;
    let names = guide.domains.join(", ");
    let here = &guide.config.hostname;
    guide.screen().remark(&format!(
        "        in the DNS: MX of {names} -> {here}, and the old MX away"
    ));
    match guide.choices.dns {
        Dns::Skipped | Dns::Watched => {
            let question = format!("does the MX of {names} point at {here} now?");
            guide.ask(&question, Weight::Expected).await?;
            Ok(Some("said so, not looked up".into()))
        }
    }
}
