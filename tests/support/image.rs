//! A file system in an image on a loop device, whose power can be cut.
//!
//! The cut is the shutdown ioctl of ext4 and xfs without a flush of their log: from then on
//! nothing reaches the image, and what was not synced is gone with the page cache when it
//! is unmounted. It does not reorder what the disk itself had taken.

use rustix::{
    fs::{Mode, OFlags},
    ioctl::{Opcode, Setter, ioctl},
    process::geteuid,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// `EXT4_IOC_SHUTDOWN`, which is `XFS_IOC_GOINGDOWN`.
const SHUTDOWN: Opcode = 0x8004_587D;
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`, which is xfs's too.
const NO_LOG_FLUSH: u32 = 2;
/// xfs takes no less than 300 MB. Holes take no space.
const IMAGE_BYTES: u64 = 512 * 1024 * 1024;

/// A mounted file system; unmounted when dropped.
pub struct Image {
    /// The loop device, the same for every mount: one that comes and goes with them may still
    /// be going while the next one comes.
    device: String,
    mount: PathBuf,
}

impl Image {
    /// Makes and mounts one, `ext4` or `xfs`, below a directory.
    pub fn new(directory: &Path, kind: &str) -> Self {
        assert!(
            geteuid().is_root(),
            "a power cut needs root, for a loop device and its file system; as another user \
             run `cargo test --test crash kill`, which kills the process"
        );
        let file = directory.join("image");
        let image = fs::File::create(&file).unwrap();
        image.set_len(IMAGE_BYTES).unwrap();
        run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&file));
        let device = run(Command::new("losetup")
            .args(["--find", "--show"])
            .arg(&file));
        let image = Self {
            device: device.trim().to_owned(),
            mount: directory.join("mount"),
        };
        fs::create_dir(&image.mount).unwrap();
        image.mount();
        image
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// Cuts the power: every write after this fails.
    #[allow(unsafe_code)] // The ioctl has no safe wrapper.
    pub fn cut(&self) {
        let root = rustix::fs::open(
            &self.mount,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .unwrap();
        // SAFETY: the call reads one u32, which the setter holds.
        let done = unsafe { ioctl(root, Setter::<SHUTDOWN, u32>::new(NO_LOG_FLUSH)) };
        done.unwrap_or_else(|error| panic!("this file system cannot be shut down: {error}"));
    }

    /// The power is back; nobody may have a file open.
    pub fn restore(&self) {
        // A process that another thread is just starting has our open files until it runs.
        super::poll("nobody has a file open", || {
            let umount = Command::new("umount").arg(&self.mount).output().unwrap();
            let busy = String::from_utf8_lossy(&umount.stderr).contains("busy");
            assert!(umount.status.success() || busy, "{umount:?}");
            umount.status.success().then_some(())
        });
        self.mount();
    }

    /// From now on no write is answered, until [`Image::thaw`].
    pub fn freeze(&self) {
        run(Command::new("fsfreeze").arg("-f").arg(&self.mount));
    }

    /// Writes are answered again.
    pub fn thaw(&self) {
        run(Command::new("fsfreeze").arg("-u").arg(&self.mount));
    }

    fn mount(&self) {
        run(Command::new("mount")
            .args(["-o", "noatime"])
            .arg(&self.device)
            .arg(&self.mount));
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // A frozen one would keep everybody.
        let _ = Command::new("fsfreeze")
            .arg("-u")
            .arg(&self.mount)
            .stderr(std::process::Stdio::null())
            .status();
        // Lazily, since whatever failed may still have a file open.
        let _ = Command::new("umount").arg("-l").arg(&self.mount).status();
        // It goes when nobody has it any more.
        let _ = Command::new("losetup").arg("-d").arg(&self.device).status();
    }
}

/// What it printed; it must succeed.
fn run(command: &mut Command) -> String {
    let output = command
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
