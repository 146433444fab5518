//! Recipients that their domain's destination knows (`recipients = "verify"`).
//!
//! An answer is remembered, so that most clients wait for nobody and a destination that is
//! down costs no mail to recipients it has taken before. What nobody can know now is answered
//! with 450: an unknown recipient is one whom the destination has refused for good, and
//! nothing else. Everything is bounded: what is remembered, the questions under way, and how
//! long a client waits.

use crate::{config, mail::Address, smtp::Offer};
use arc_swap::ArcSwap;
use moka::{policy::EvictionPolicy, sync::Cache};
use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{sync::watch, time};

/// Questions under way at once, to all destinations together.
const ASKING_MAX: usize = 50;
/// A question takes no longer, whether anybody waits for it or not.
const ASKING: Duration = Duration::from_secs(60);
/// A destination that could not be spoken to is left alone for so long.
const QUIET: Duration = Duration::from_secs(10);

/// Asks a domain's destination about its recipients.
pub trait Callout: Send + Sync {
    /// What the destination says about `address` now.
    fn ask<'a>(&'a self, address: &'a Address) -> Asking<'a>;

    /// Where a domain's recipients are asked for: an answer is good for there alone.
    fn destination(&self, domain: &str) -> String;
}

/// A question under way.
pub type Asking<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// What came of a question.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// About the recipient.
    pub verdict: Verdict,
    /// What the destination takes, where it has said so.
    pub offer: Option<Offer>,
}

/// Whether there is such a recipient.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The destination takes its mail.
    Known,
    /// The destination refuses it for good.
    Unknown,
    /// The destination has said neither, in these words.
    Unclear(String),
    /// The destination cannot be asked now, for this reason.
    Unreachable(String),
}

/// Asks, and remembers.
pub(super) struct Verifier {
    callout: Arc<dyn Callout>,
    rules: config::Verify,
    remembered: Cache<Question, Remembered>,
    state: Mutex<State>,
    /// By domain; looked at for every message, and seldom changed.
    offers: ArcSwap<HashMap<String, OfferOf>>,
}

#[derive(Clone, PartialEq, Eq)]
struct OfferOf {
    destination: String,
    offer: Offer,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    address: Address,
    destination: String,
}

#[derive(Clone, Copy)]
struct Remembered {
    known: bool,
    asked: Instant,
}

#[derive(Default)]
struct State {
    /// At most [`ASKING_MAX`].
    asking: HashMap<Question, watch::Receiver<Option<Verdict>>>,
    /// By destination, of which there are as many as domains.
    unreachable: HashMap<String, Instant>,
}

impl Verifier {
    pub(super) fn new(callout: Arc<dyn Callout>, rules: config::Verify) -> Arc<Self> {
        let addresses = u64::try_from(rules.addresses).unwrap_or(u64::MAX);
        let remembered = Cache::builder()
            .max_capacity(addresses)
            .eviction_policy(EvictionPolicy::lru())
            .build();
        Arc::new(Self {
            callout,
            rules,
            remembered,
            state: Mutex::default(),
            offers: ArcSwap::default(),
        })
    }

    /// Whether there is such a recipient, as far as can be known in time.
    pub(super) async fn verdict(self: &Arc<Self>, address: &Address) -> Verdict {
        let question = self.question(address);
        if let Some(Remembered { known, asked }) = self.remembered.get(&question) {
            let age = asked.elapsed();
            if known && age < self.rules.known_for {
                if age >= self.rules.refresh_after {
                    // The answer is for the next time.
                    let _ = self.ask(question);
                }
                return Verdict::Known;
            }
            if !known && age < self.rules.unknown_for {
                return Verdict::Unknown;
            }
        }
        let mut answer = match self.ask(question) {
            Ok(answer) => answer,
            Err(verdict) => return verdict,
        };
        match time::timeout(self.rules.timeout, answer.wait_for(Option::is_some)).await {
            Ok(Ok(verdict)) => verdict.clone().unwrap_or_else(no_answer),
            Ok(Err(_)) | Err(_) => no_answer(),
        }
    }

    /// Letters in either case are one domain, and may be two local parts.
    fn question(&self, address: &Address) -> Question {
        let domain = address.domain();
        let normal = Address::parse(&format!("{}@{domain}", address.local_part()));
        Question {
            address: normal.unwrap_or_else(|_| address.clone()),
            destination: self.callout.destination(&domain),
        }
    }

    /// What the destination of `domain` is known to take.
    pub(super) fn offer(&self, domain: &str) -> Offer {
        let offers = self.offers.load();
        let known = offers.get(domain);
        let current = known.filter(|of| of.destination == self.callout.destination(domain));
        current.map_or(Offer::ALL, |of| of.offer)
    }

    /// Of how many domains something is known.
    pub(super) fn offers(&self) -> usize {
        self.offers.load().len()
    }

    /// Asks, unless that is being done already; the answer can be awaited.
    fn ask(
        self: &Arc<Self>,
        question: Question,
    ) -> Result<watch::Receiver<Option<Verdict>>, Verdict> {
        let mut state = self.lock();
        if let Some(answer) = state.asking.get(&question) {
            return Ok(answer.clone());
        }
        let quiet = state.unreachable.get(&question.destination);
        if quiet.is_some_and(|since| since.elapsed() < QUIET) {
            let why = "could not be reached a moment ago".to_owned();
            return Err(Verdict::Unreachable(why));
        }
        if state.asking.len() >= ASKING_MAX {
            return Err(Verdict::Unclear("too many are asked for".to_owned()));
        }
        let (sender, answer) = watch::channel(None);
        state.asking.insert(question.clone(), answer.clone());
        let verifier = Arc::clone(self);
        tokio::spawn(async move {
            let verdict = verifier.learn(&question).await;
            verifier.lock().asking.remove(&question);
            // Perhaps nobody has waited so long.
            let _ = sender.send(Some(verdict));
        });
        Ok(answer)
    }

    /// Asks, and remembers what can be relied on.
    async fn learn(&self, question: &Question) -> Verdict {
        let asking = time::timeout(ASKING, self.callout.ask(&question.address));
        let answer = asking.await.unwrap_or_else(|_| Answer {
            verdict: Verdict::Unreachable("no answer".to_owned()),
            offer: None,
        });
        let Answer { verdict, offer } = answer;
        let destination = &question.destination;
        if let Some(offer) = offer {
            self.note_offer(question, offer);
        }
        let mut state = self.lock();
        match &verdict {
            Verdict::Known | Verdict::Unknown => {
                state.unreachable.remove(destination);
                let known = verdict == Verdict::Known;
                let asked = Instant::now();
                self.remembered
                    .insert(question.clone(), Remembered { known, asked });
            }
            Verdict::Unreachable(why) => {
                tracing::warn!("{destination} cannot be asked for recipients: {why}");
                let now = Instant::now();
                state.unreachable.retain(|_, since| now - *since < QUIET);
                state.unreachable.insert(destination.clone(), now);
            }
            Verdict::Unclear(why) => {
                let address = &question.address;
                tracing::info!("{destination} leaves open whether there is <{address}>: {why}");
            }
        }
        verdict
    }

    fn note_offer(&self, question: &Question, offer: Offer) {
        let (domain, destination) = (question.address.domain(), question.destination.clone());
        let new = OfferOf { destination, offer };
        if self.offers.load().get(&domain) == Some(&new) {
            return;
        }
        self.offers.rcu(|offers| {
            let mut offers = HashMap::clone(offers);
            offers.insert(domain.clone(), new.clone());
            offers
        });
    }

    /// A panic elsewhere leaves each entry whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_answer() -> Verdict {
    Verdict::Unclear("no answer in time".to_owned())
}
