//! SIGHUP: the configuration is read again, and what may change while the daemon runs is
//! taken over. A file with a mistake changes nothing.

use super::parts::Parts;
use crate::{
    cli::Context,
    config::{Config, Domain},
    spool::Spool,
};
use std::{collections::HashSet, sync::Arc};

/// Reads the configuration again. Returns the one that is in use now; the log tells what
/// was taken over, what needs a restart, or what is wrong.
pub async fn reload(
    context: &Context,
    old: Arc<Config>,
    spool: &dyn Spool,
    parts: &Parts,
) -> Arc<Config> {
    let new = match context.config() {
        Ok(new) => Arc::new(keep_fixed(&old, new)),
        Err(error) => {
            for line in error.to_string().lines() {
                tracing::error!("the configuration stays as it was: {line}");
            }
            return old;
        }
    };
    if let Err(error) = take_over(&new, spool, parts).await {
        tracing::error!("the configuration stays as it was: {error}");
        return old;
    }
    let names = |config: &Config| -> HashSet<String> {
        let names = config.domains.iter().map(|Domain { name, .. }| name);
        names.cloned().collect()
    };
    for name in names(&old).difference(&names(&new)) {
        tracing::warn!("{name} is no longer configured: what is held of it stays in the spool");
    }
    tracing::info!("the configuration and the certificates were read again");
    new
}

/// The receiver comes first, since it may refuse.
async fn take_over(config: &Arc<Config>, spool: &dyn Spool, parts: &Parts) -> anyhow::Result<()> {
    let names = config.domains.iter().map(|domain| domain.name.clone());
    spool.add_domains(names.collect()).await?;
    parts.reload(config)?;
    Ok(())
}

/// The new configuration with the old values of what only a restart can change, each of
/// which is named in the log.
fn keep_fixed(old: &Config, mut new: Config) -> Config {
    fn keep<T: Clone + PartialEq>(key: &str, old: &T, new: &mut T) {
        if old != new {
            tracing::warn!("{key} has changed, which needs a restart: the old value stays");
            new.clone_from(old);
        }
    }
    // The command line may have named another socket than the file.
    new.control.clone_from(&old.control);
    keep("hostname", &old.hostname, &mut new.hostname);
    keep("[[listen]]", &old.listen, &mut new.listen);
    keep("[dns]", &old.dns, &mut new.dns);
    keep("[spool]", &old.spool, &mut new.spool);
    keep("[verify]", &old.verify, &mut new.verify);
    keep("[web]", &old.web, &mut new.web);
    keep("[log]", &old.log, &mut new.log);
    if old.bounce.is_some() != new.bounce.is_some() {
        keep("[bounce]", &old.bounce, &mut new.bounce);
    }
    if let (Some(old), Some(new)) = (&old.bounce, &mut new.bounce) {
        keep(
            "bounce.delay_warning",
            &old.delay_warning,
            &mut new.delay_warning,
        );
    }
    new
}
