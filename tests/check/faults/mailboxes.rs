//! Both IMAP servers.

use super::{Fault, fault, unedit};
use crate::world::World;
use std::fs;

pub const MAILBOXES: [Fault; 4] = [
    fault(
        "mailbox-login",
        "a wrong password",
        "fail",
        "eve at the new server",
        |world| accounts(world, "bob,pw,bob,pw\neve,pw,eve,wrong\n"),
        |world| accounts(world, "bob,pw,bob,pw\neve,pw,eve,pw\n"),
    ),
    fault(
        "mailbox-quota",
        "a mailbox that does not fit",
        "fail",
        "bob: the target's quota",
        |world| {
            let large = format!(
                "Message-ID: <large@test>\r\n\r\n{}\r\n",
                "x".repeat(300_000)
            );
            world.mailbox("put", "bob", &["INBOX"], large.as_bytes());
        },
        |world| world.mailbox("remove", "bob", &["INBOX", "<large@test>"], b""),
    ),
    fault(
        "mailbox-folders",
        "two folders that would become one",
        "warn",
        "would be the same folder",
        |world| {
            let rule = "[[mover.rename]]\nfrom = \"with space\"\nto = \"plain\"\n\n[check]";
            world.edit("[check]", rule);
        },
        unedit,
    ),
    fault(
        "mailbox-login",
        "an accounts file that is not there",
        "fail",
        "absent.csv",
        |world| world.edit("accounts = \"accounts.csv\"", "accounts = \"absent.csv\""),
        unedit,
    ),
];

fn accounts(world: &World, lines: &str) {
    let head = "source_user,source_password,target_user,target_password\n";
    let file = world.directory.path().join("accounts.csv");
    fs::write(file, format!("{head}{lines}")).unwrap();
}
