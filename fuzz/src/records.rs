//! Records of the spool: any bytes are read or refused, and what was read is written as it
//! was.

use crate::config::LoadSet;
use crate::record::{
    DeliveryRecord, DomainEventRecord, DomainRecord, EventRecord, Head, MessageRecord, OrderRecord,
    UnconfirmedRecord, decode, encode,
};
use serde::{Serialize, de::DeserializeOwned};

/// The first byte says which.
pub fn strike(input: &[u8]) {
    let Some((&kind, bytes)) = input.split_first() else {
        return;
    };
    match kind % 9 {
        0 => read::<Head>(bytes),
        1 => read::<DomainRecord>(bytes),
        2 => read::<MessageRecord>(bytes),
        3 => read::<DeliveryRecord>(bytes),
        4 => read::<OrderRecord>(bytes),
        5 => read::<EventRecord>(bytes),
        6 => read::<DomainEventRecord>(bytes),
        7 => read::<UnconfirmedRecord>(bytes),
        _ => read::<LoadSet>(bytes),
    }
}

fn read<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(bytes: &[u8]) {
    if let Ok(record) = decode::<T>(|| "a record".into(), bytes) {
        let again = encode(&record).expect("what was read can be written");
        let read = decode::<T>(|| "a record".into(), &again).expect("and read again");
        assert_eq!(read, record);
    }
}
