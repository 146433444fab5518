//! The two sides of a pass: what it asks of the source, and what of the target.

use crate::{
    imap::UidSet,
    mover::{
        body::Read,
        copy::{Failure, Target},
        flags::Permanent,
    },
};
use std::future::Future;

/// What the source tells of a message without its body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Meta {
    /// UID.
    pub uid: u32,
    /// RFC822.SIZE in bytes.
    pub size: u64,
    /// INTERNALDATE; empty where the source says none.
    pub internal_date: String,
    /// Flags and keywords.
    pub flags: Vec<String>,
}

/// What the source tells of messages without their bodies.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scanned {
    /// By rising UID.
    pub metas: Vec<Meta>,
    /// Those that exist and of which it tells nothing.
    pub mute: UidSet,
}

/// What the source gave of a batch.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// Messages that came whole.
    pub whole: Vec<Read>,
    /// Those that exist and that it does not give: UID, and its words.
    pub unreadable: Vec<(u32, String)>,
}

/// The folder at the source, over one connection: reading only.
pub trait Source: Send {
    /// The UIDs that there are from first to last.
    fn uids(
        &mut self,
        first: u32,
        last: u32,
    ) -> impl Future<Output = Result<UidSet, Failure>> + Send;

    /// Those of these messages that exist; only those changed since a modification sequence,
    /// where one is given.
    fn scan(
        &mut self,
        uids: &UidSet,
        changed_since: Option<u64>,
    ) -> impl Future<Output = Result<Scanned, Failure>> + Send;

    /// Those of these messages that still exist. One that is in neither list of the result is
    /// certainly gone.
    fn fetch(&mut self, uids: &UidSet) -> impl Future<Output = Result<Reads, Failure>> + Send;
}

/// The folder at the target, with what a pass needs beside appending.
pub trait Folder: Target {
    /// How it stands.
    fn open(&mut self) -> impl Future<Output = Result<Opened, Failure>> + Send;

    /// What is known of those of these messages that exist.
    fn scan(&mut self, uids: &UidSet) -> impl Future<Output = Result<Vec<Meta>, Failure>> + Send;

    /// BLAKE3 of the very bytes of those of these messages that exist.
    fn digests(
        &mut self,
        uids: &UidSet,
    ) -> impl Future<Output = Result<Vec<(u32, [u8; 32])>, Failure>> + Send;

    /// Whether single messages can be removed (UIDPLUS): without that, EXPUNGE would take all
    /// that anybody has marked.
    fn can_remove(&self) -> bool;

    /// Removes these messages and no others.
    fn remove(&mut self, uids: &UidSet) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Sets these flags in the place of those that the messages have.
    fn store(
        &mut self,
        uids: &UidSet,
        flags: &[String],
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What the target tells of its folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Opened {
    /// UIDVALIDITY.
    pub uidvalidity: u32,
    /// UIDNEXT.
    pub uidnext: u32,
    /// How many messages it has.
    pub messages: u32,
    /// What it takes as flags.
    pub permanent: Permanent,
}
