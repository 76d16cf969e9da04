//! Round trips, hostile bytes and golden bytes of everything that nodes say.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use prost::Message as _;

use crate::causality::{LwwRecord, Payload, Record, Value};
use crate::command::{Command, Get, Options, Target};
use crate::cursor::crc32c;
use crate::gossip::member::{Incarnation, Load, MemberState, Witnesses};
use crate::gossip::talk::Talk;
use crate::id::{BucketId, NodeId, OpId, PartitionId};
use crate::key::RecordKey;
use crate::limits::FRAME_BYTES_MAX;
use crate::message::{Envelope, Forward, ForwardReply, Message, Pull, RingEpoch, Space, WriteRecords};
use crate::outcome::Outcome;
use crate::storage::Range;
use crate::time::{Hlc, Wall};
use crate::wire::arbitrary::envelope;
use crate::wire::{
    EncodeError, Frame, FrameDecoder, HEADER_BYTES, Hello, VERSION, WireError, decode, encode, encode_frame,
    encode_hello_frame, v1,
};

fn framed(envelope: &Envelope) -> BytesMut {
    let mut out = BytesMut::new();
    encode_frame(envelope, &mut out).expect("small");
    out
}

/// A frame whose checksum fits whatever is in it.
fn sealed(rest: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    out.extend_from_slice(&(rest.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32c(rest).to_le_bytes());
    out.extend_from_slice(rest);
    out
}

fn pulse() -> Envelope {
    Envelope {
        epoch: RingEpoch {
            number: 1,
            hash: 0x0102_0304_0506_0708,
        },
        hlc: Hlc(0x1112_1314_1516_1718),
        wall: Wall(300),
        session: 0x2122_2324_2526_2728,
        message: Message::Pulse,
    }
}

fn hello() -> Hello {
    Hello {
        cluster: "c".into(),
        node: 7,
        name: "n1".into(),
        version: 1,
        incarnation: 2,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn frames_have_these_bytes_for_ever() {
    assert_eq!(
        hex(&framed(&pulse())),
        "24000000ec0017c901080111080706050403020119181716151413121120ac02292827262524232221aa0100"
    );
    let write = WriteRecords {
        op: Some(OpId(9)),
        attempt: 1,
        sessions: [(NodeId(7), 8)].into_iter().collect(),
        stand_in_for: None,
        space: Space::NotNeeded,
        records: vec![(
            RecordKey::new(PartitionId(3), BucketId(1), 5, b"k", b""),
            Arc::new(Record::Lww(LwwRecord::default())),
        )],
    };
    assert_eq!(
        hex(&framed(&Envelope {
            message: Message::Write(write),
            ..pulse()
        })),
        "76000000d850167c01080111080706050403020119181716151413121120ac02292827262524232221625309090000000000000010011a0c07000000080000000000000022361100000000030000000100000000000000056b00011d0000000101000000000000000000000000000000000000000000000093b6ca893001"
    );
    let mut out = BytesMut::new();
    encode_hello_frame(&hello(), &mut out).expect("short");
    assert_eq!(hex(&out), "130000008387e1f6014a100a016315070000001a026e3120012802");
    assert_eq!(
        FrameDecoder::before_hello().next_frame(&mut out),
        Ok(Some(Frame::Hello(hello())))
    );
}

/// A write of which nobody says that it may fill a full disk was taken by one.
#[test]
fn a_write_that_says_nothing_of_space_needs_it() {
    let mut packet = super::message::pack(&pulse()).expect("may be sent");
    packet.body = Some(v1::Body::Write(v1::Write::default()));
    let mut bytes = BytesMut::new();
    packet.encode(&mut bytes).expect("room");
    let Ok(Message::Write(write)) = decode(bytes.freeze()).map(|envelope| envelope.message) else {
        panic!("a write")
    };
    assert_eq!(write.space, Space::Needed);
}

#[test]
fn gossip_has_these_bytes_for_ever() {
    let own = MemberState {
        node: NodeId(7),
        incarnation: Incarnation { boot: 3, refutation: 1 },
        heartbeat: 300,
        load: Load {
            operations: 5,
            store_bytes: 1 << 20,
            full: false,
            slow: true,
        },
        death: None,
    };
    let dead = MemberState {
        node: NodeId(8),
        death: Some(Witnesses {
            first: NodeId(7),
            second: NodeId(9),
        }),
        ..own
    };
    let digest = Talk::Digest {
        own,
        members: vec![(NodeId(8), dead.version())],
    };
    let delta = Talk::Delta {
        states: vec![own, dead],
        wanted: vec![NodeId(10)],
    };
    let report = Talk::ProbeReport {
        node: NodeId(8),
        nonce: 0x3132_3334_3536_3738,
        is_reached: true,
    };
    for (talk, bytes) in [
        (
            digest,
            "3f000000a638cab201080111080706050403020119181716151413121120ac02292827262524232221b2011b0801120d070000000302ac0205808040021a08080000000303ac02",
        ),
        (
            delta,
            "50000000cdf8bdce01080111080706050403020119181716151413121120ac02292827262524232221b2012c08021222070000000302ac020580804002080000000303ac020580804002070000000900000022040a000000",
        ),
        (
            report,
            "36000000281e89f301080111080706050403020119181716151413121120ac02292827262524232221b20112080629383736353433323135080000003801",
        ),
    ] {
        let envelope = Envelope {
            message: Message::Gossip(talk),
            ..pulse()
        };
        assert_eq!(hex(&framed(&envelope)), bytes);
    }
}

#[test]
fn a_frame_longer_than_allowed_is_refused_before_it_is_read() {
    let mut claims = BytesMut::from(&[0xff_u8; HEADER_BYTES][..]);
    assert_eq!(
        FrameDecoder::new().next_frame(&mut claims),
        Err(WireError::TooLarge(u32::MAX as usize))
    );
    let envelope = Envelope {
        message: Message::Pull(Pull {
            op: OpId(1),
            range: Range {
                bucket: BucketId(1),
                start: Bytes::from(vec![0; 5_000]),
                end: None,
            },
        }),
        ..pulse()
    };
    let mut stranger = framed(&envelope);
    assert!(matches!(
        FrameDecoder::before_hello().next_frame(&mut stranger),
        Err(WireError::TooLarge(_))
    ));
    let too_long = Range {
        bucket: BucketId(1),
        start: Bytes::from(vec![0; FRAME_BYTES_MAX]),
        end: None,
    };
    let envelope = Envelope {
        message: Message::Pull(Pull {
            op: OpId(1),
            range: too_long,
        }),
        ..pulse()
    };
    let mut out = BytesMut::new();
    assert_eq!(encode_frame(&envelope, &mut out), Err(EncodeError::TooLarge));
    assert!(out.is_empty());
}

#[test]
fn a_frame_is_refused_by_cause() {
    let good = framed(&pulse());
    let mut newer = sealed(&[&[VERSION + 1], &good[HEADER_BYTES + 1..]].concat());
    assert_eq!(
        FrameDecoder::new().next_frame(&mut newer),
        Err(WireError::BadVersion(VERSION + 1))
    );
    let mut flipped = good.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    assert_eq!(
        FrameDecoder::new().next_frame(&mut flipped),
        Err(WireError::BadChecksum)
    );
    assert_eq!(
        FrameDecoder::new().next_frame(&mut sealed(&[])),
        Err(WireError::Malformed)
    );
    assert_eq!(
        FrameDecoder::new().next_frame(&mut sealed(&[VERSION, 0xff])),
        Err(WireError::Malformed)
    );
}

#[test]
fn a_message_of_an_unknown_kind_leaves_the_stream_in_step() {
    // Field 200, length-delimited, two bytes: a message that a later version may have.
    let mut buffer = sealed(&[VERSION, 0xc2, 0x0c, 0x02, 0x08, 0x01]);
    buffer.extend_from_slice(&framed(&pulse()));
    let decoder = FrameDecoder::new();
    assert_eq!(decoder.next_frame(&mut buffer), Err(WireError::UnknownMessage));
    assert_eq!(
        decoder.next_frame(&mut buffer),
        Ok(Some(Frame::Envelope(Box::new(pulse()))))
    );
    assert_eq!(decoder.next_frame(&mut buffer), Ok(None));
}

#[test]
fn commands_that_run_where_they_were_received_are_not_sent() {
    let target = Target {
        bucket: BucketId(1),
        key: "k".into(),
        sort: Bytes::new(),
    };
    let command = Command::Get(Get {
        target,
        options: Options::default(),
    });
    let forward = Forward {
        op: OpId(1),
        command,
        deadline_ms: 1,
        session: 2,
        retry: false,
        stand_in: false,
    };
    let reply = ForwardReply {
        op: OpId(1),
        outcome: Outcome::Count(1),
    };
    for message in [Message::Forward(forward), Message::ForwardReply(reply)] {
        let mut out = BytesMut::new();
        assert_eq!(
            encode(&Envelope { message, ..pulse() }, &mut out),
            Err(EncodeError::NeverForwarded)
        );
        assert!(out.is_empty());
    }
}

#[test]
fn values_are_slices_of_the_frame() {
    let value = Value::plain(Bytes::from(vec![7; 100]));
    let record = LwwRecord {
        payload: Payload::Value(value),
        ..LwwRecord::default()
    };
    let key = RecordKey::new(PartitionId(3), BucketId(1), 5, b"k", b"");
    let records = vec![(key, Arc::new(Record::Lww(record)))];
    let message = Message::Write(WriteRecords {
        op: None,
        attempt: 0,
        sessions: [].into_iter().collect(),
        stand_in_for: None,
        space: Space::Needed,
        records,
    });
    let mut buffer = framed(&Envelope { message, ..pulse() });
    let frame = buffer.as_ptr_range();
    let Ok(Some(Frame::Envelope(envelope))) = FrameDecoder::new().next_frame(&mut buffer) else {
        panic!("no frame")
    };
    let Message::Write(write) = &envelope.message else {
        panic!("another message")
    };
    let payload = &write.records[0].1.as_lww().expect("as sent").payload;
    let Payload::Value(value) = payload else {
        panic!("another payload")
    };
    assert!(frame.contains(&value.data.as_ptr()));
}

proptest! {
    #[test]
    fn an_envelope_gives_itself_back(envelope in envelope()) {
        let mut out = BytesMut::new();
        encode(&envelope, &mut out).expect("may be sent");
        prop_assert_eq!(decode(out.freeze()), Ok(envelope));
    }

    /// However the stream is cut into reads, the same frames come out.
    #[test]
    fn frames_survive_any_cutting(envelopes in prop::collection::vec(envelope(), 1..4), cut in 1_usize..200) {
        let mut stream = Vec::new();
        for envelope in &envelopes {
            stream.extend_from_slice(&framed(envelope));
        }
        let (mut buffer, mut got) = (BytesMut::new(), Vec::new());
        for piece in stream.chunks(cut) {
            buffer.extend_from_slice(piece);
            while let Some(frame) = FrameDecoder::new().next_frame(&mut buffer).expect("good frames") {
                let Frame::Envelope(envelope) = frame else { panic!("no handshake was sent") };
                got.push(*envelope);
            }
        }
        prop_assert_eq!(got, envelopes);
        prop_assert!(buffer.is_empty());
    }

    #[test]
    fn a_flipped_bit_is_never_another_message(envelope in envelope(), at: prop::sample::Index, bit in 0_u8..8) {
        let mut bytes = framed(&envelope);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let frame = FrameDecoder::new().next_frame(&mut bytes);
        prop_assert!(!matches!(frame, Ok(Some(_))), "a flipped bit was not noticed");
    }

    /// The checksum fits, the message does not: a peer with a bug, or somebody who is no peer.
    #[test]
    fn altered_messages_never_panic(envelope in envelope(), at: prop::sample::Index, to: u8, is_cut: bool) {
        let mut rest = framed(&envelope)[HEADER_BYTES..].to_vec();
        let at = at.index(rest.len());
        if is_cut {
            rest.truncate(at);
        } else {
            rest[at] = to;
        }
        let _ = FrameDecoder::new().next_frame(&mut sealed(&rest));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = decode(Bytes::from(bytes.clone()));
        let _ = FrameDecoder::new().next_frame(&mut BytesMut::from(&bytes[..]));
        let _ = FrameDecoder::new().next_frame(&mut sealed(&[&[VERSION][..], &bytes].concat()));
    }

    #[test]
    fn fields_of_a_later_version_are_skipped(envelope in envelope(), field in 100_u32..1_000, word: u64) {
        let mut out = BytesMut::new();
        encode(&envelope, &mut out).expect("may be sent");
        prost::encoding::uint64::encode(field, &word, &mut out);
        prost::encoding::string::encode(field + 1, &"later".to_owned(), &mut out);
        prop_assert_eq!(decode(out.freeze()), Ok(envelope));
    }

    #[test]
    fn a_handshake_gives_itself_back(cluster in ".{0,20}", name in ".{0,20}", node: u32, version: u32, incarnation: u64) {
        let hello = Hello { cluster, node, name, version, incarnation };
        let mut out = BytesMut::new();
        encode_hello_frame(&hello, &mut out).expect("short");
        prop_assert_eq!(FrameDecoder::before_hello().next_frame(&mut out), Ok(Some(Frame::Hello(hello))));
    }
}

#[test]
fn the_longest_expected_packet_length_is_exact() {
    let packet = super::message::pack(&pulse()).expect("may be sent");
    assert_eq!(
        framed(&pulse()).len(),
        HEADER_BYTES + 1 + v1::Packet::encoded_len(&packet)
    );
}
