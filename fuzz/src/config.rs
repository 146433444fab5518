//! A configuration file: refused with its mistakes, or read; and what is shown of it reads
//! back as the same.

use crate::config_module::Config;
// Under the name that the spool knows them by.
pub use crate::config_module::{LoadChange, LoadSet};
use std::path::Path;

pub fn strike(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let file = Path::new("relay.toml");
    match Config::parse(text, file) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(config) => drop(config.to_toml()),
    }
}
