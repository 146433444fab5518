//! A hook that is a program: the event on its standard input.

use super::{ANSWER_BYTES_MAX, Said};
use std::{path::Path, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::Command,
};

/// Runs the program, and waits for its end for so long. It is killed then.
pub async fn call(program: &Path, event: &[u8], timeout: Duration) -> Result<Said, String> {
    let named = |error: std::io::Error| format!("{}: {error}", program.display());
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(named)?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let give = async {
        if let Some(mut stdin) = stdin {
            // One that does not want to read it still says yes or no.
            let _ = stdin.write_all(event).await;
        }
    };
    let ended = async {
        let ((), out, errors, status) =
            tokio::join!(give, some(stdout), some(stderr), child.wait());
        (out + &errors, status)
    };
    match tokio::time::timeout(timeout, ended).await {
        Ok((text, status)) => {
            let status = status.map_err(named)?;
            Ok(Said {
                is_yes: status.success(),
                status: status.to_string(),
                text,
            })
        }
        Err(_) => Err(format!(
            "{}: no end within {} s",
            program.display(),
            timeout.as_secs_f64()
        )),
    }
}

/// The first bytes; the rest is read, so that the program can end, and thrown away.
async fn some(from: Option<impl AsyncRead + Unpin>) -> String {
    let mut kept = Vec::new();
    let Some(mut from) = from else {
        return String::new();
    };
    let mut part = [0; 1024];
    while let Ok(count) = from.read(&mut part).await {
        let Some(read) = part.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        let room = ANSWER_BYTES_MAX.saturating_sub(kept.len());
        kept.extend_from_slice(read.get(..room).unwrap_or(read));
    }
    String::from_utf8_lossy(&kept).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    async fn run(script: &str, timeout: Duration) -> Result<Said, String> {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("hook");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        call(&program, b"{\"event\":\"phase\"}", timeout).await
    }

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn it_reads_the_event_and_says_yes_or_no() {
        let said = run("cat", LONG).await.unwrap();
        assert!(said.is_yes && said.text == "{\"event\":\"phase\"}");
        let said = run("echo not now >&2; exit 3", LONG).await.unwrap();
        assert_eq!((said.is_yes, said.reason().as_str()), (false, "not now"));
        let said = run("exit 3", LONG).await.unwrap();
        assert!(said.reason().contains('3'), "{said:?}");
        let said = run("head -c 100000 /dev/zero", LONG).await.unwrap();
        assert_eq!((said.is_yes, said.text.len()), (true, ANSWER_BYTES_MAX));
    }

    #[tokio::test]
    async fn one_that_never_ends_is_ended_and_one_that_is_not_there_is_named() {
        let late = run("exec sleep 600", Duration::from_millis(50)).await;
        assert!(late.unwrap_err().contains("no end within"));
        let absent = call(Path::new("/nowhere/hook"), b"", LONG).await;
        assert!(absent.unwrap_err().starts_with("/nowhere/hook: "));
    }
}
