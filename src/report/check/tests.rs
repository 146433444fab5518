use super::*;
use crate::{
    control::{
        fixture,
        view::{EventView, MessageView},
    },
    report::chain::{Chainer, Telling},
    spool::State,
};

const TO: [&str; 1] = ["bob@corp.example"];

fn step(number: u64, id: &str) -> EventView {
    EventView {
        number,
        queue_id: id.into(),
        at_ms: number,
        address: TO[0].into(),
        from: "waiting".into(),
        to: "delivered".into(),
        cause: "reply".into(),
        relay: None,
        dsn: None,
        reply: Some("250 <ok>".into()),
    }
}

fn logged(number: u64) -> LoggedView {
    let (message, deliveries) = fixture::message(number, &TO, State::Delivered);
    let message = MessageView::of(&message, &deliveries);
    let events = [2 * number, 2 * number + 1];
    LoggedView {
        events: events.map(|event| step(event, &message.queue_id)).to_vec(),
        message,
    }
}

fn domain(numbers: &[u64]) -> Vec<DomainEventView> {
    let event = |number: &u64| DomainEventView {
        number: *number,
        at_ms: 7,
        what: "phase hold -> release".into(),
        cause: "operator: release".into(),
    };
    numbers.iter().map(event).collect()
}

/// Of so many messages: the first thousand or so whole, others skipped.
fn chain(messages: u64) -> Chain {
    let mut chainer = Chainer::new(1_000_000);
    for number in 1..=messages {
        let notable = number.is_multiple_of(900);
        let telling = if notable {
            Telling::Notable
        } else {
            Telling::Plain
        };
        chainer.message(&logged(number), telling);
    }
    chainer.domain("corp.example", &domain(&[900_000, 900_001, 1_000_000]));
    chainer.finish()
}

fn compared(
    chain: &Chain,
    messages: impl Iterator<Item = LoggedView>,
    events: &[u64],
) -> Vec<String> {
    let mut comparison = Comparison::new(chain);
    messages.for_each(|message| comparison.message(&message));
    comparison.finish(&[("corp.example".into(), domain(events))])
}

const EVENTS: [u64; 3] = [900_000, 900_001, 1_000_000];

#[test]
fn a_whole_chain_is_whole_and_reads_back() {
    for messages in [0, 1, 3_000] {
        let chain = chain(messages);
        assert_eq!(chain.messages, messages);
        assert_eq!(chain.events, 2 * messages + 2);
        assert!(chain.links.len() < 1_100, "{}", chain.links.len());
        let json = serde_json::to_string(&chain).unwrap();
        let again: Chain = serde_json::from_str(&json).unwrap();
        assert_eq!(again, chain);
        assert_eq!(within(&again), Vec::<String>::new());
        // What came later is not in it, and does not matter.
        let now = (1..=messages + 5).map(logged).map(|mut message| {
            let id = message.message.queue_id.clone();
            message.events.push(step(1_000_001, &id));
            message
        });
        assert_eq!(compared(&chain, now, &EVENTS), Vec::<String>::new());
    }
}

#[test]
fn every_change_to_the_file_breaks_it() {
    let whole = chain(2_000);
    let mut changed: Vec<Chain> = Vec::new();
    let mut change = |how: &dyn Fn(&mut Chain)| {
        let mut chain = whole.clone();
        how(&mut chain);
        changed.push(chain);
    };
    change(&|chain| drop(chain.links.remove(3)));
    change(&|chain| drop(chain.links.pop()));
    change(&|chain| chain.links.swap(1, 2));
    change(&|chain| chain.messages -= 1);
    change(&|chain| chain.head.replace_range(..1, "g"));
    change(&|chain| {
        if let Some(Link {
            entry: Entry::Step(step),
            ..
        }) = chain.links.get_mut(1)
        {
            step.to = "dropped".into();
        }
    });
    change(&|chain| {
        let skipped = chain
            .links
            .iter()
            .position(|link| matches!(link.entry, Entry::Skipped(_)));
        chain.links.remove(skipped.unwrap());
    });
    for chain in changed {
        assert!(!within(&chain).is_empty());
    }
}

#[test]
fn what_the_spool_has_no_more_is_named() {
    let chain = chain(3_000);
    let id = |number: u64| logged(number).message.queue_id;
    // A whole message, and an event of another.
    let now = (1..=3_000).filter(|number| *number != 5).map(|number| {
        let mut message = logged(number);
        if number == 7 {
            message.events.remove(0);
        }
        message
    });
    let findings = compared(&chain, now, &EVENTS);
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert_eq!(
        findings[0],
        format!("{} is not in the spool any more", id(5))
    );
    assert!(
        findings[1].starts_with(&format!("event 14 of {}", id(7))),
        "{findings:?}"
    );
    // One of those that are skipped, and a domain's event.
    let now = (1..=3_000).filter(|number| *number != 2_500).map(logged);
    let findings = compared(&chain, now, &EVENTS[..1]);
    assert_eq!(findings.len(), 2, "{findings:?}");
    assert!(
        findings[0].contains("they are not the same"),
        "{findings:?}"
    );
    assert!(
        findings[1].starts_with("event 900001 of corp.example"),
        "{findings:?}"
    );
    // All gone.
    assert!(compared(&chain, std::iter::empty(), &[]).len() > FINDINGS_MAX);
}
