//! The body of a frame: what is understood can be written and read again, and is the same.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use torc_core::wire::{decode, encode};

fuzz_target!(|data: &[u8]| {
    let Ok(envelope) = decode(Bytes::copy_from_slice(data)) else { return };
    let mut written = BytesMut::new();
    if encode(&envelope, &mut written).is_err() {
        // Kinds of outcome that are understood here and never forwarded.
        return;
    }
    assert_eq!(decode(written.freeze()).expect("written by ourselves"), envelope);
});
