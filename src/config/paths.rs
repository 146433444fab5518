//! Where the configuration file is, and what the relative paths in it are relative to.

use super::ConfigError;
use std::path::{Component, Path, PathBuf};

/// Where a configuration is looked for when none is named, in this order.
const SEARCHED: [&str; 2] = ["/etc/relay/relay.toml", "conf/relay.toml"];

/// The named file, or the first of [`SEARCHED`] that exists.
///
/// # Errors
/// [`ConfigError::NotFound`] when none was named and none exists.
pub(super) fn locate(named: Option<&Path>) -> Result<PathBuf, ConfigError> {
    locate_among(named, &SEARCHED.map(PathBuf::from))
}

fn locate_among(named: Option<&Path>, searched: &[PathBuf]) -> Result<PathBuf, ConfigError> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    searched
        .iter()
        // One that is there but may not be looked at is taken, so that reading it says so
        // instead of another one being used in its place.
        .find(|path| path.try_exists().unwrap_or(true))
        .cloned()
        .ok_or_else(|| ConfigError::NotFound {
            tried: searched.to_vec(),
        })
}

/// The directory of the configuration file, absolute. Relative paths start there: the
/// current directory would depend on who starts the daemon.
pub(super) fn base_of(file: &Path) -> PathBuf {
    let parent = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    parent
        .canonicalize()
        .or_else(|_| std::path::absolute(parent))
        .unwrap_or_else(|_| parent.to_owned())
}

/// `path` as seen from `base`. Leading `..` are taken off `base`, which holds no symbolic
/// link that this could step over; the rest of `path` stays as it is.
pub(super) fn resolve(base: &Path, path: &str) -> PathBuf {
    let mut resolved = base.to_owned();
    let mut components = Path::new(path).components();
    loop {
        let rest = components.as_path();
        match components.next() {
            Some(Component::ParentDir) => {
                resolved.pop();
            }
            Some(Component::CurDir) => {}
            _ => return resolved.join(rest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_start_at_the_file() {
        let base = Path::new("/srv/relay/conf");
        for (path, expected) in [
            ("spool", "/srv/relay/conf/spool"),
            ("./spool", "/srv/relay/conf/spool"),
            ("../spool", "/srv/relay/spool"),
            ("../../x/../y", "/srv/x/../y"),
            ("/var/spool/relay", "/var/spool/relay"),
            ("../../../../../x", "/x"),
        ] {
            assert_eq!(resolve(base, path), Path::new(expected), "{path}");
        }
    }

    #[test]
    fn the_base_is_absolute() {
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(base_of(Path::new("relay.toml")), here);
        assert_eq!(base_of(Path::new("src/relay.toml")), here.join("src"));
        assert_eq!(
            base_of(Path::new("/no/such/relay.toml")),
            Path::new("/no/such")
        );
    }

    #[test]
    fn the_named_file_comes_first_then_the_usual_places() {
        let dir = tempfile::tempdir().unwrap();
        let places = [dir.path().join("a.toml"), dir.path().join("b.toml")];
        let error = locate_among(None, &places).unwrap_err().to_string();
        assert!(
            error.contains("a.toml") && error.contains("b.toml"),
            "{error}"
        );
        assert!(error.contains("--config"), "{error}");

        std::fs::write(&places[1], "").unwrap();
        assert_eq!(locate_among(None, &places).unwrap(), places[1]);
        std::fs::write(&places[0], "").unwrap();
        assert_eq!(locate_among(None, &places).unwrap(), places[0]);
        let named = Path::new("x.toml");
        assert_eq!(locate_among(Some(named), &places).unwrap(), named);
    }
}
