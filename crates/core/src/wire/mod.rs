//! How envelopes travel between nodes: prost messages (unknown fields are skipped, so that versions can be mixed during an
//! upgrade) in checksummed frames. Records travel in their stored form, and every list is one field of its own layout
//! (`lists`), so that a frame never takes much more memory than its bytes. Keys and values are slices of the frame.

use bytes::{Bytes, BytesMut};
use prost::Message as _;

use crate::causality::TokenError;
use crate::causality::codec::CodecError;
use crate::cursor::Malformed;
use crate::message::Envelope;

#[cfg(test)]
mod arbitrary;
mod command;
mod entropy;
mod frame;
mod gossip;
mod lists;
mod message;
mod outcome;
mod reaping;
#[cfg(test)]
mod tests;
mod v1;

pub use frame::{Frame, FrameDecoder, HEADER_BYTES, HELLO_BYTES_MAX, VERSION, encode_frame, encode_hello_frame};

/// The first frame of a connection, in both directions: who speaks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hello {
    /// The cluster; another one is refused.
    pub cluster: String,
    /// The sender's id.
    pub node: u32,
    /// The name that gave the id.
    pub name: String,
    /// The newest wire version that the sender speaks.
    pub version: u32,
    /// The sender's boot number.
    pub incarnation: u64,
}

/// Why an envelope can't be sent. Nothing was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum EncodeError {
    /// Nodes forward puts and updates; every other command runs where it was received.
    #[error("this kind of command or outcome is never forwarded")]
    NeverForwarded,
    /// The frame would be longer than [`crate::limits::FRAME_BYTES_MAX`].
    #[error("the message is larger than a frame may be")]
    TooLarge,
}

/// Why bytes from a peer are no message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WireError {
    /// The frame claims more bytes than are allowed. The stream is out of step: close it.
    #[error("a frame of {0} bytes is larger than allowed")]
    TooLarge(usize),
    /// The peer speaks a version that this node does not know. Close the connection.
    #[error("a frame has version {0}, which this node does not know")]
    BadVersion(u8),
    /// The bytes were changed on the way. The stream may be out of step: close it.
    #[error("a frame's checksum does not match")]
    BadChecksum,
    /// The checksum matches, but this is no message. Close the connection: the peer has a bug.
    #[error("a message is malformed")]
    Malformed,
    /// A kind of message that this version does not know, from a newer peer. The frame was skipped, the stream is in step.
    #[error("a message is of a kind that this node does not know")]
    UnknownMessage,
}

impl From<Malformed> for WireError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<CodecError> for WireError {
    fn from(_: CodecError) -> Self {
        Self::Malformed
    }
}

impl From<TokenError> for WireError {
    fn from(_: TokenError) -> Self {
        Self::Malformed
    }
}

impl From<prost::DecodeError> for WireError {
    fn from(_: prost::DecodeError) -> Self {
        Self::Malformed
    }
}

/// Appends the message of `envelope`, without a frame.
///
/// # Errors
/// [`EncodeError::NeverForwarded`].
pub fn encode(envelope: &Envelope, out: &mut BytesMut) -> Result<(), EncodeError> {
    let packet = message::pack(envelope)?;
    out.reserve(packet.encoded_len());
    packet.encode(out).expect("a BytesMut grows");
    Ok(())
}

/// Reads what [`encode`] wrote.
///
/// # Errors
/// `Malformed` or `UnknownMessage`.
pub fn decode(bytes: Bytes) -> Result<Envelope, WireError> {
    match message::unpack(v1::Packet::decode(bytes)?)? {
        Frame::Envelope(envelope) => Ok(*envelope),
        Frame::Hello(_) => Err(WireError::UnknownMessage),
    }
}
