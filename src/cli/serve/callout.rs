//! The receiver's questions, put by the releaser.

use crate::{
    mail::Address,
    receive::{Answer, Asking, Callout, Verdict},
    release::{Finding, Releaser},
};
use std::sync::Arc;

/// Asks where the mail is released to.
pub struct Destinations(pub Arc<Releaser>);

impl Callout for Destinations {
    fn ask<'a>(&'a self, address: &'a Address) -> Asking<'a> {
        Box::pin(async {
            let Some(asked) = self.0.ask(address).await else {
                let why = "there is no destination".to_owned();
                return Answer {
                    verdict: Verdict::Unreachable(why),
                    offer: None,
                };
            };
            match asked {
                Ok((finding, offer)) => Answer {
                    verdict: match finding {
                        Finding::Known => Verdict::Known,
                        Finding::Unknown => Verdict::Unknown,
                        Finding::Unclear(reply) => Verdict::Unclear(reply),
                    },
                    offer: Some(offer),
                },
                Err(failure) => Answer {
                    verdict: Verdict::Unreachable(failure.to_string()),
                    offer: None,
                },
            }
        })
    }

    fn destination(&self, domain: &str) -> String {
        let target = self.0.target(domain);
        target.map_or_else(String::new, |target| target.to_string())
    }
}
