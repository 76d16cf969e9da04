//! A client's context token: no characters panic, and one that is understood is written in the same way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use torc_core::causality::token::{decode, encode};

fuzz_target!(|data: &[u8]| {
    if let Ok(context) = decode(data) {
        let written = encode(&context);
        assert_eq!(decode(written).expect("written by ourselves"), context);
    }
});
