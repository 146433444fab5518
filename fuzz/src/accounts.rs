//! `accounts.csv`: refused, or accounts with names; a password is in no error.

use crate::mover_accounts::{Administered, parse};
use std::path::Path;

/// The first byte says where an administrator logs in.
pub fn strike(input: &[u8]) {
    let Some((&admin, text)) = input.split_first() else {
        return;
    };
    let admin = Administered {
        source: admin & 1 > 0,
        target: admin & 2 > 0,
    };
    match parse(text, Path::new("accounts.csv"), admin) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(accounts) => assert!(accounts.iter().all(|account| !account.name().is_empty())),
    }
}
