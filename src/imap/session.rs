//! A session: the signatures first.
#![allow(missing_docs, clippy::missing_errors_doc, clippy::unused_async)]
use super::{
    Append, AppendWay, Appended, BodySink, BodySource, Endpoint, Error, Flag, Folder, Limits,
    Login, Meta, Name, Namespaces, Quota, Selected, Status, UidSet,
};
pub struct Session {
    capabilities: Capabilities,
}
#[derive(Debug, Clone, Default)]
pub struct Capabilities(std::collections::BTreeSet<String>);
impl Capabilities {
    pub fn has(&self, name: &str) -> bool {
        self.0.contains(&name.to_ascii_uppercase())
    }
    pub fn append_limit(&self) -> Option<u64> {
        None
    }
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}
fn not_yet<T>() -> Result<T, Error> {
    Err(Error::Unsendable {
        command: "-",
        text: "not yet".into(),
    })
}
pub async fn connect(
    _endpoint: &Endpoint,
    _login: &Login,
    _limits: &Limits,
) -> Result<Session, Error> {
    not_yet()
}
impl Session {
    pub fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }
    pub fn has(&self, name: &str) -> bool {
        self.capabilities.has(name)
    }
    pub async fn noop(&mut self) -> Result<(), Error> {
        not_yet()
    }
    pub async fn logout(self) -> Result<(), Error> {
        not_yet()
    }
    pub async fn namespaces(&mut self) -> Result<Namespaces, Error> {
        not_yet()
    }
    pub async fn folders(&mut self) -> Result<Vec<Folder>, Error> {
        not_yet()
    }
    /// In the same order.
    pub async fn statuses(&mut self, _names: &[Name]) -> Result<Vec<Result<Status, Error>>, Error> {
        not_yet()
    }
    pub async fn examine(&mut self, _name: &Name) -> Result<Selected, Error> {
        not_yet()
    }
    pub async fn select(&mut self, _name: &Name) -> Result<Selected, Error> {
        not_yet()
    }
    pub async fn create(&mut self, _name: &Name) -> Result<(), Error> {
        not_yet()
    }
    pub async fn subscribe(&mut self, _name: &Name) -> Result<(), Error> {
        not_yet()
    }
    /// GETQUOTAROOT; empty where there are no quotas.
    pub async fn quota(&mut self, _name: &Name) -> Result<Vec<Quota>, Error> {
        not_yet()
    }
    /// Which UIDs exist from first to last.
    pub async fn uids(&mut self, _first: u32, _last: u32) -> Result<UidSet, Error> {
        not_yet()
    }
    pub async fn scan(
        &mut self,
        _first: u32,
        _last: u32,
        _changed_since: Option<u64>,
        _on: impl FnMut(Meta) + Send,
    ) -> Result<(), Error> {
        not_yet()
    }
    /// Expunged since this modification sequence (QRESYNC, enabled at login where offered).
    pub async fn vanished(
        &mut self,
        _first: u32,
        _last: u32,
        _since: u64,
    ) -> Result<UidSet, Error> {
        not_yet()
    }
    /// Gives those whose bodies came whole.
    pub async fn fetch<S: BodySink>(
        &mut self,
        _uids: &UidSet,
        _sink: &mut S,
    ) -> Result<UidSet, Error> {
        not_yet()
    }
    /// UID STORE FLAGS.SILENT: replaces.
    pub async fn store_flags(&mut self, _uids: &UidSet, _flags: &[Flag]) -> Result<(), Error> {
        not_yet()
    }
    pub fn append_way(&self) -> AppendWay {
        AppendWay::Multi
    }
    /// By append_way(). One result for each, in order; fatal errors: in doubt.
    pub async fn append<B: BodySource>(
        &mut self,
        _folder: &Name,
        _batch: Vec<Append<B>>,
    ) -> Vec<Result<Appended, Error>> {
        Vec::new()
    }
    pub async fn append_by<B: BodySource>(
        &mut self,
        _way: AppendWay,
        _folder: &Name,
        _batch: Vec<Append<B>>,
    ) -> Vec<Result<Appended, Error>> {
        Vec::new()
    }
}
