//! The control socket's file: mode 0600 from its first moment, never two daemons on it.
//!
//! `bind` makes a socket with the mode that the umask leaves, and a chmod afterwards
//! leaves a moment in which anybody may connect; a changed umask would hit every other
//! thread. So the socket is made in a directory that only its owner may enter, gets its
//! mode there, and is moved to its place, over that of a dead daemon, in one step.

use std::{
    fs, io,
    os::unix::{
        fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
};

/// Why the socket cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another daemon answers there.
    #[error("another daemon answers at {path:?} (control.socket)")]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// Something else stands in its place; it is left alone.
    #[error("{path:?} (control.socket) is there and is not a socket")]
    NotASocket {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot {doing} {path:?} (control.socket): {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A bound socket; its file goes away with it, unless another has taken its place.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    /// Device and inode of our file.
    identity: (u64, u64),
}

/// Binds `path`. Its last directory is made (mode 0700) if it is missing.
///
/// # Errors
/// [`SocketError`].
pub fn bind(path: &Path) -> Result<(UnixListener, Socket), SocketError> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match fs::DirBuilder::new().mode(0o700).create(parent) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed("make the directory of", path)(error));
        }
        _ => {}
    }
    check_place(path)?;
    // Short, since a socket's path holds 108 bytes.
    let private = parent.join(format!(".r{}", std::process::id()));
    // Left over from a killed process of the same number.
    let _ = fs::remove_file(private.join("s"));
    let _ = fs::remove_dir(&private);
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&private)
        .map_err(failed("make a directory beside", path))?;
    let bound = bind_private(&private.join("s"), path);
    let _ = fs::remove_file(private.join("s"));
    let _ = fs::remove_dir(&private);
    bound
}

fn bind_private(private: &Path, path: &Path) -> Result<(UnixListener, Socket), SocketError> {
    let listener = UnixListener::bind(private).map_err(failed("bind", path))?;
    let identity = fs::set_permissions(private, fs::Permissions::from_mode(0o600))
        .and_then(|()| identity(private))
        .map_err(failed("set the mode of", path))?;
    listener
        .set_nonblocking(true)
        .and_then(|()| fs::rename(private, path))
        .map_err(failed("put in its place", path))?;
    let path = path.to_owned();
    Ok((listener, Socket { path, identity }))
}

/// Free, or the socket of a daemon that is dead.
fn check_place(path: &Path) -> Result<(), SocketError> {
    let kind = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", path)(error)),
    };
    let path = path.to_owned();
    if !kind.is_socket() {
        return Err(SocketError::NotASocket { path });
    }
    match UnixStream::connect(&path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("try", &path)(error)),
        Ok(_) => Err(SocketError::InUse { path }),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SocketError {
    let path = path.to_owned();
    move |source| SocketError::Io {
        doing,
        path,
        source,
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_owner_may_connect_and_nothing_is_left_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/control.sock");
        let (listener, socket) = bind(&path).unwrap();
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let parent = fs::metadata(path.parent().unwrap()).unwrap();
        assert_eq!(parent.permissions().mode() & 0o7777, 0o700);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
        drop((listener, socket));
        assert!(!path.exists());
    }

    #[test]
    fn a_live_daemon_keeps_its_socket_and_a_dead_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (listener, socket) = bind(&path).unwrap();
        assert!(matches!(bind(&path), Err(SocketError::InUse { .. })));
        // As after kill -9: the file stays.
        drop(listener);
        std::mem::forget(socket);
        assert!(path.exists());
        let again = bind(&path).unwrap();
        assert!(UnixStream::connect(&path).is_ok());
        drop(again);
    }

    #[test]
    fn another_file_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(bind(&path), Err(SocketError::NotASocket { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_successor_keeps_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (listener, socket) = bind(&path).unwrap();
        drop(listener);
        let successor = bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
        drop(successor);
    }
}
