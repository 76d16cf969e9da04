//! Frames on a stream between nodes, little-endian. The length counts what follows the checksum:
//!
//! ```text
//! | length u32 | CRC32C u32 of the rest | version u8 | prost body |
//! ```

use bytes::{Buf, BufMut, BytesMut};
use prost::Message as _;

use crate::cursor::crc32c;
use crate::limits::FRAME_BYTES_MAX;
use crate::message::Envelope;
use crate::wire::{EncodeError, Hello, WireError, message, v1};

/// The version of frames and messages.
pub const VERSION: u8 = 1;
/// Length and checksum.
pub const HEADER_BYTES: usize = 8;
/// Longest frame that a peer may send before it has said who it is.
pub const HELLO_BYTES_MAX: usize = 4 << 10;

/// What a frame holds.
#[derive(Clone, PartialEq, Debug)]
pub enum Frame {
    /// The handshake.
    Hello(Hello),
    /// A message.
    Envelope(Box<Envelope>),
}

/// Appends a frame with `envelope`.
///
/// # Errors
/// [`EncodeError`]; nothing was appended.
pub fn encode_frame(envelope: &Envelope, out: &mut BytesMut) -> Result<(), EncodeError> {
    push_frame(&message::pack(envelope)?, out)
}

/// Appends a frame with a handshake.
///
/// # Errors
/// `TooLarge` if its names are absurdly long; nothing was appended.
pub fn encode_hello_frame(hello: &Hello, out: &mut BytesMut) -> Result<(), EncodeError> {
    push_frame(&message::pack_hello(hello), out)
}

fn push_frame(packet: &v1::Packet, out: &mut BytesMut) -> Result<(), EncodeError> {
    let length = 1 + packet.encoded_len();
    if HEADER_BYTES + length > FRAME_BYTES_MAX {
        return Err(EncodeError::TooLarge);
    }
    out.reserve(HEADER_BYTES + length);
    let start = out.len();
    out.put_u32_le(length as u32);
    out.put_u32_le(0);
    out.put_u8(VERSION);
    packet.encode(out).expect("a BytesMut grows");
    let checksum = crc32c(&out[start + HEADER_BYTES..]);
    out[start + 4..start + HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// Takes frames off the front of a buffer that a connection reads into.
#[derive(Clone, Debug)]
pub struct FrameDecoder {
    bytes_max: usize,
}

impl Default for FrameDecoder {
    fn default() -> Self {
        Self {
            bytes_max: FRAME_BYTES_MAX,
        }
    }
}

impl FrameDecoder {
    /// Accepts frames up to `FRAME_BYTES_MAX`.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// For a connection whose peer has not said who it is: frames up to [`HELLO_BYTES_MAX`].
    #[must_use]
    pub fn before_hello() -> Self {
        Self {
            bytes_max: HELLO_BYTES_MAX,
        }
    }

    /// The next whole frame, whose bytes leave `buffer`; `None` if more must be read first. Values in the frame are slices
    /// of the bytes that were taken.
    ///
    /// # Errors
    /// [`WireError`]: each says whether the stream may be read further.
    pub fn next_frame(&self, buffer: &mut BytesMut) -> Result<Option<Frame>, WireError> {
        let Some(header) = buffer.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let [l0, l1, l2, l3, c0, c1, c2, c3] = *header;
        let length = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        if length > self.bytes_max - HEADER_BYTES {
            return Err(WireError::TooLarge(length));
        }
        if length == 0 {
            return Err(WireError::Malformed);
        }
        if buffer.len() < HEADER_BYTES + length {
            return Ok(None);
        }
        let mut frame = buffer.split_to(HEADER_BYTES + length).freeze();
        frame.advance(HEADER_BYTES);
        if crc32c(&frame) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(WireError::BadChecksum);
        }
        let version = frame.get_u8();
        if version != VERSION {
            return Err(WireError::BadVersion(version));
        }
        message::unpack(v1::Packet::decode(frame)?).map(Some)
    }
}
