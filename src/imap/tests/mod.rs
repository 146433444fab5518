//! Against a server that says what the test wants it to.

mod appending;
mod fetching;
mod folders;
mod login;
mod script;
mod tls;

use super::{BodySink, Error, Fetched, Meta, Name, Session, UidSet};
use script::{Peer, session};
use std::io;

/// Keeps bodies, and notes what is not whole.
#[derive(Debug, Default)]
struct Kept {
    whole: Vec<(u32, Vec<u8>)>,
    metas: Vec<Meta>,
    current: Option<(Fetched, Vec<u8>)>,
}

impl BodySink for Kept {
    async fn begin(&mut self, body: Fetched) -> io::Result<()> {
        assert!(self.current.is_none());
        self.current = Some((body, Vec::new()));
        Ok(())
    }

    async fn chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        assert!(!bytes.is_empty() && bytes.len() <= 128 << 10);
        self.current.as_mut().unwrap().1.extend_from_slice(bytes);
        Ok(())
    }

    async fn end(&mut self, meta: Meta) -> io::Result<()> {
        let (body, bytes) = self.current.take().unwrap();
        assert_eq!((body.uid, body.bytes), (meta.uid, bytes.len() as u64));
        self.whole.push((body.uid, bytes));
        self.metas.push(meta);
        Ok(())
    }
}

/// What the server says to the first FETCH of UIDs 1 to 3, and how that ends.
async fn fetch_of(said: &'static [u8]) -> (Result<UidSet, Error>, Kept) {
    let mut session = session("", async |mut peer: Peer| {
        let tag = peer
            .command("UID FETCH 1:3 (UID FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[])")
            .await;
        let said = String::from_utf8_lossy(said).replace("TAG", &tag);
        peer.say(said.as_bytes()).await;
        peer.answer_all().await;
    })
    .await;
    let mut kept = Kept::default();
    let result = session.fetch(&UidSet::range(1, 3), &mut kept).await;
    (result, kept)
}

/// After an error that ends a session, nothing is said any more.
async fn assert_ended(session: &mut Session) {
    assert!(matches!(session.noop().await, Err(Error::Lost { .. })));
}

fn name(text: &str) -> Name {
    Name::encode(text)
}
