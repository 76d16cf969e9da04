//! A stream from a peer, in pieces: no bytes panic, a frame takes no more than its bytes, and what is read twice is equal.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use torc_core::wire::{FrameDecoder, HEADER_BYTES, WireError};

fuzz_target!(|data: &[u8]| {
    let Some((&cut, stream)) = data.split_first() else { return };
    let stream = with_checksums(stream);
    let whole = frames(&[&stream]);
    let cut = usize::from(cut).min(stream.len());
    let (head, tail) = stream.split_at(cut);
    assert_eq!(whole, frames(&[head, tail]));
});

fn frames(pieces: &[&[u8]]) -> Vec<String> {
    let decoder = FrameDecoder::new();
    let mut buffer = BytesMut::new();
    let mut read = Vec::new();
    for piece in pieces {
        buffer.extend_from_slice(piece);
        loop {
            match decoder.next_frame(&mut buffer) {
                Ok(Some(frame)) => read.push(format!("{frame:?}")),
                Ok(None) => break,
                Err(WireError::UnknownMessage) => read.push("unknown".to_owned()),
                Err(error) => {
                    read.push(error.to_string());
                    return read;
                }
            }
        }
    }
    read
}

/// The fuzzer can't guess checksums: they are mended, so that it gets at what is behind them.
fn with_checksums(stream: &[u8]) -> Vec<u8> {
    let mut mended = stream.to_vec();
    let mut at = 0;
    while let Some(header) = mended.get(at..at + HEADER_BYTES) {
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let Some(body) = mended.get(at + HEADER_BYTES..(at + HEADER_BYTES).saturating_add(length)) else {
            break;
        };
        let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, body) as u32;
        mended[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
        at += HEADER_BYTES + length;
    }
    mended
}
