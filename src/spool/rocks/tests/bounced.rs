//! A bounce and its report are there together, or not at all.

use super::*;
use crate::{
    mail::REPORTS_DOMAIN,
    spool::{Report, Transition},
};

fn bounce(id: QueueId, recipient: u32) -> Transition {
    let message = id;
    Transition {
        delivery: DeliveryId { message, recipient },
        step: Step::Bounce,
        cause: Cause::Operator("bounce".into()),
        remote: None,
        at_ms: now_ms(),
    }
}

fn report() -> Report {
    Report {
        // To a domain that is not configured.
        envelope: envelope(&["alice@example.org"]),
        bytes: b"Subject: report\r\n\r\n".to_vec(),
    }
}

#[tokio::test]
async fn all_or_nothing_and_kept_over_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(&directory);
    let spool = open(&config).await;
    let id = accept(&spool, &["bob@corp.example"], b"x\r\n").await.id();

    // Nowhere to keep the report; a step that does not fit.
    let refused = spool.bounce(vec![bounce(id, 0)], vec![report()]).await;
    assert_eq!(
        refused,
        Err(SpoolError::UnknownDomain(REPORTS_DOMAIN.into()))
    );
    spool
        .add_domains(vec![REPORTS_DOMAIN.into()])
        .await
        .unwrap();
    let twice = vec![bounce(id, 0), bounce(id, 0)];
    let refused = spool.bounce(twice, vec![report()]).await;
    assert!(matches!(refused, Err(SpoolError::Conflict { .. })));
    assert_eq!(ids(&spool).await, [id]);
    assert_eq!(spool.deliveries(id).await.unwrap()[0].state, State::Held);

    let made = spool.bounce(vec![bounce(id, 0)], vec![report()]).await;
    let made = made.unwrap();
    assert_eq!(ids(&spool).await, [id, made[0]]);
    shut(spool).await;
    let spool = open(&config).await;
    assert_eq!(spool.deliveries(id).await.unwrap()[0].state, State::Bounced);
    assert_eq!(read_all(&spool, made[0]).await, report().bytes);
    let reports = spool.domain(REPORTS_DOMAIN).unwrap();
    assert_eq!(reports.ledger.waiting.count, 1);
    assert_balanced(&spool).await;
}
