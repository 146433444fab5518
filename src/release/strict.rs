//! `release.order = "strict"`: the whole domain is one lane, so that the order engine, which
//! keeps each lane in arrival order, keeps all of it. Two recipients of one message are two
//! deliveries one after the other then, in transactions of their own.

use crate::{
    config::ReleaseOrder,
    mail::{DeliveryId, Lane},
    spool::{Spool, SpoolError, Unfinished},
};

/// The lane that stands for all.
const ALL: Lane = Lane(0);

impl ReleaseOrder {
    /// The lane that a mailbox's lane belongs to.
    pub(super) fn lane(self, lane: Lane) -> Lane {
        match self {
            Self::Mailbox => lane,
            Self::Strict => ALL,
        }
    }

    /// What the scan has read, in these lanes.
    pub(super) fn rows(self, mut rows: Vec<Unfinished>) -> Vec<Unfinished> {
        for row in &mut rows {
            row.lane = self.lane(row.lane);
        }
        rows
    }

    /// [`Spool::lane`] for a lane of this order.
    pub(super) async fn page(
        self,
        spool: &dyn Spool,
        domain: String,
        lane: Lane,
        mut after: Option<DeliveryId>,
        until: DeliveryId,
        limit: usize,
    ) -> Result<Vec<Unfinished>, SpoolError> {
        if self == Self::Mailbox {
            return spool.lane(domain, lane, after, until, limit).await;
        }
        // A page that is not full says that there is no more, so what is parked, and holds
        // no lane, is not counted.
        let mut page = Vec::new();
        loop {
            let missing = limit - page.len();
            let rows = spool.unfinished(domain.clone(), after, missing).await?;
            after = rows.last().map(|row| row.id);
            let is_last = rows.len() < missing || after >= Some(until);
            let wanted = |row: &Unfinished| row.id <= until && row.standing.holds_lane();
            page.extend(self.rows(rows).into_iter().filter(wanted));
            if is_last || page.len() >= limit {
                return Ok(page);
            }
        }
    }
}
