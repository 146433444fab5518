//! `relay config check` and `relay config show`

use super::Context;
use clap::Subcommand;

/// What to do with the configuration.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Say whether it is right; if not, everything that is wrong, with file, line and key.
    Check,
    /// Print the effective configuration, defaults filled in, secrets masked.
    Show,
}

/// # Errors
/// Those of the configuration.
pub fn run(context: &Context, command: Command) -> anyhow::Result<()> {
    let file = context.config_file()?;
    let config = context.config()?;
    let domains = config.domains.len();
    match command {
        Command::Check if context.screen.json => context.screen.json(&serde_json::json!({
            "file": file,
            "valid": true,
            "domains": domains,
        })),
        Command::Check => {
            let text = format!("{}: ok, {domains} domain(s)", file.display());
            Ok(context.screen.line(&text)?)
        }
        Command::Show if context.screen.json => {
            let value: toml::Value = toml::from_str(&config.to_toml())?;
            context.screen.json(&value)
        }
        Command::Show => Ok(context.screen.line(config.to_toml().trim_end())?),
    }
}
