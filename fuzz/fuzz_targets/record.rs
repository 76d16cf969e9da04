//! The stored form of a record: canonical, so that bytes that are understood are the bytes that would be written.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use torc_core::causality::codec::{decode, encode};

fuzz_target!(|data: &[u8]| {
    let mut stored = data.to_vec();
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &stored) as u32;
    stored.extend_from_slice(&checksum.to_le_bytes());
    if let Ok(record) = decode(&Bytes::from(stored.clone())) {
        assert_eq!(encode(&record), stored);
    }
});
