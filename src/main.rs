//! The binary: arguments in, exit code out. Everything else is the library's.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(relay::cli::run(std::env::args_os()) as u8)
}
