//! Version 1 of what nodes say, as prost messages. A tag is never used for something else; new fields get new tags. Fields
//! named `…_list` have the layouts of `lists`, `…_code` the numbers of `message`, `command` and `outcome`.

use bytes::Bytes;

/// Every frame's body: what every message carries, and the message.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Packet {
    #[prost(uint64, tag = "1")]
    pub(super) epoch_number: u64,
    #[prost(fixed64, tag = "2")]
    pub(super) epoch_hash: u64,
    #[prost(fixed64, tag = "3")]
    pub(super) hlc: u64,
    #[prost(uint64, tag = "4")]
    pub(super) wall_ms: u64,
    #[prost(fixed64, tag = "5")]
    pub(super) session: u64,
    #[prost(
        oneof = "Body",
        tags = "9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24"
    )]
    pub(super) body: Option<Body>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Body {
    #[prost(message, tag = "9")]
    Hello(Hello),
    #[prost(message, tag = "10")]
    Read(Read),
    #[prost(message, tag = "11")]
    ReadReply(ReadReply),
    #[prost(message, tag = "12")]
    Write(Write),
    #[prost(message, tag = "13")]
    WriteReply(WriteReply),
    #[prost(message, tag = "14")]
    Forward(Box<Forward>),
    #[prost(message, tag = "15")]
    ForwardReply(Box<ForwardReply>),
    #[prost(message, tag = "16")]
    Refused(Refused),
    #[prost(message, tag = "17")]
    Boot(Boot),
    #[prost(message, tag = "18")]
    BootReply(BootReply),
    #[prost(message, tag = "19")]
    Pull(Pull),
    #[prost(message, tag = "20")]
    PullReply(PullReply),
    #[prost(message, tag = "21")]
    Pulse(Pulse),
    #[prost(message, tag = "22")]
    Gossip(Gossip),
    #[prost(message, tag = "23")]
    Entropy(Box<Entropy>),
    #[prost(message, tag = "24")]
    Reaping(Box<Reaping>),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Hello {
    #[prost(string, tag = "1")]
    pub(super) cluster: String,
    #[prost(fixed32, tag = "2")]
    pub(super) node: u32,
    #[prost(string, tag = "3")]
    pub(super) name: String,
    #[prost(uint32, tag = "4")]
    pub(super) version: u32,
    #[prost(uint64, tag = "5")]
    pub(super) incarnation: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Range {
    #[prost(uint32, tag = "1")]
    pub(super) bucket: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) start: Bytes,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) end: Option<Bytes>,
}

/// With a range it is a range read, without one it names records.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Read {
    #[prost(fixed64, tag = "1")]
    pub(super) op: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) key_list: Bytes,
    #[prost(message, optional, tag = "3")]
    pub(super) range: Option<Range>,
    #[prost(uint32, tag = "4")]
    pub(super) records_max: u32,
    #[prost(uint32, tag = "5")]
    pub(super) bytes_max: u32,
    #[prost(uint32, tag = "6")]
    pub(super) attempt: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ReadReply {
    #[prost(fixed64, tag = "1")]
    pub(super) op: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) record_list: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) damaged_key_list: Bytes,
    #[prost(bytes = "bytes", optional, tag = "4")]
    pub(super) complete_up_to: Option<Bytes>,
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) cleared_list: Bytes,
    #[prost(bool, tag = "6")]
    pub(super) is_rebuilding: bool,
    #[prost(uint32, tag = "7")]
    pub(super) attempt: u32,
    #[prost(fixed64, tag = "8")]
    pub(super) highest: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Write {
    #[prost(fixed64, optional, tag = "1")]
    pub(super) op: Option<u64>,
    #[prost(uint32, tag = "2")]
    pub(super) attempt: u32,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) session_list: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) record_list: Bytes,
    #[prost(fixed32, optional, tag = "5")]
    pub(super) stand_in_for: Option<u32>,
    /// It frees space, or makes copies equal: taken by a full disk, which refuses what does not say so.
    #[prost(bool, tag = "6")]
    pub(super) frees_space: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct WriteReply {
    #[prost(fixed64, tag = "1")]
    pub(super) op: u64,
    #[prost(uint32, tag = "2")]
    pub(super) attempt: u32,
    #[prost(uint32, tag = "3")]
    pub(super) result_code: u32,
    #[prost(message, optional, tag = "4")]
    pub(super) winner: Option<Stamp>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Stamp {
    #[prost(fixed64, tag = "1")]
    pub(super) hlc: u64,
    #[prost(fixed32, tag = "2")]
    pub(super) node: u32,
    #[prost(fixed64, tag = "3")]
    pub(super) life: u64,
    #[prost(uint64, tag = "4")]
    pub(super) birth: u64,
    #[prost(uint64, tag = "5")]
    pub(super) counter: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Forward {
    #[prost(fixed64, tag = "1")]
    pub(super) op: u64,
    #[prost(uint32, tag = "2")]
    pub(super) deadline_ms: u32,
    #[prost(bool, tag = "3")]
    pub(super) is_retry: bool,
    #[prost(message, optional, tag = "4")]
    pub(super) target: Option<Target>,
    #[prost(message, optional, tag = "5")]
    pub(super) options: Option<Options>,
    #[prost(fixed64, tag = "6")]
    pub(super) session: u64,
    #[prost(bool, tag = "7")]
    pub(super) is_for_stand_in: bool,
    #[prost(oneof = "Command", tags = "10, 11")]
    pub(super) command: Option<Command>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Command {
    #[prost(message, tag = "10")]
    Put(Put),
    #[prost(message, tag = "11")]
    Update(Update),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Target {
    #[prost(uint32, tag = "1")]
    pub(super) bucket: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) key: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) sort: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Options {
    #[prost(uint32, tag = "1")]
    pub(super) read_code: u32,
    #[prost(uint32, tag = "2")]
    pub(super) write_code: u32,
    #[prost(bool, tag = "3")]
    pub(super) is_strict: bool,
    #[prost(uint32, optional, tag = "4")]
    pub(super) timeout_ms: Option<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Put {
    #[prost(uint32, tag = "1")]
    pub(super) action_code: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) data: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) content_type: Bytes,
    #[prost(uint32, tag = "4")]
    pub(super) ttl_code: u32,
    #[prost(uint64, tag = "5")]
    pub(super) ttl_ms: u64,
    #[prost(uint32, tag = "6")]
    pub(super) context_code: u32,
    #[prost(bytes = "bytes", tag = "7")]
    pub(super) context: Bytes,
    #[prost(string, optional, tag = "8")]
    pub(super) request: Option<String>,
    #[prost(uint64, tag = "9")]
    pub(super) ttl_after_ms: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Update {
    #[prost(uint32, tag = "1")]
    pub(super) update_code: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) data: Bytes,
    #[prost(uint32, tag = "3")]
    pub(super) expiry_code: u32,
    #[prost(uint64, tag = "4")]
    pub(super) expires_at_ms: u64,
    #[prost(uint32, tag = "5")]
    pub(super) condition_code: u32,
    #[prost(uint32, tag = "6")]
    pub(super) offset: u32,
    #[prost(bool, tag = "7")]
    pub(super) is_old_returned: bool,
    #[prost(bytes = "bytes", tag = "8")]
    pub(super) field_list: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ForwardReply {
    #[prost(fixed64, tag = "1")]
    pub(super) op: u64,
    #[prost(message, optional, tag = "2")]
    pub(super) answered: Option<Answered>,
    #[prost(oneof = "Outcome", tags = "10, 11, 12")]
    pub(super) outcome: Option<Outcome>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Outcome {
    #[prost(message, tag = "10")]
    Written(Written),
    #[prost(message, tag = "11")]
    Updated(Updated),
    #[prost(message, tag = "12")]
    Failed(Failed),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Answered {
    #[prost(uint32, tag = "1")]
    pub(super) answered: u32,
    #[prost(uint32, tag = "2")]
    pub(super) n: u32,
    #[prost(bool, tag = "3")]
    pub(super) is_sloppy: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Written {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) context: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Updated {
    #[prost(uint32, tag = "1")]
    pub(super) reply_code: u32,
    #[prost(sint64, tag = "2")]
    pub(super) integer: i64,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) value: Option<Bytes>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Failed {
    #[prost(uint32, tag = "1")]
    pub(super) cause_code: u32,
    #[prost(bool, tag = "2")]
    pub(super) is_unknown: bool,
    #[prost(string, tag = "3")]
    pub(super) text: String,
    #[prost(uint64, tag = "4")]
    pub(super) limit: u64,
    #[prost(uint64, tag = "5")]
    pub(super) actual: u64,
    #[prost(uint32, tag = "6")]
    pub(super) needed: u32,
    #[prost(uint32, tag = "7")]
    pub(super) answered: u32,
    #[prost(uint32, tag = "8")]
    pub(super) n: u32,
    #[prost(uint32, tag = "9")]
    pub(super) retry_after_ms: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Refused {
    #[prost(fixed64, optional, tag = "1")]
    pub(super) op: Option<u64>,
    #[prost(uint32, tag = "2")]
    pub(super) reason_code: u32,
    #[prost(uint32, tag = "3")]
    pub(super) attempt: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Boot {
    #[prost(uint64, tag = "1")]
    pub(super) incarnation: u64,
    #[prost(fixed64, tag = "2")]
    pub(super) nonce: u64,
    #[prost(fixed64, repeated, tag = "3")]
    pub(super) lineage: Vec<u64>,
    #[prost(bool, tag = "4")]
    pub(super) settled: bool,
    #[prost(bool, tag = "5")]
    pub(super) asks: bool,
    #[prost(bool, tag = "6")]
    pub(super) must_learn: bool,
    #[prost(bytes = "bytes", tag = "7")]
    pub(super) generation_list: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BootReply {
    #[prost(fixed64, tag = "1")]
    pub(super) nonce: u64,
    #[prost(uint64, tag = "2")]
    pub(super) highest_before: u64,
    #[prost(bool, tag = "3")]
    pub(super) regressed: bool,
    #[prost(bool, tag = "4")]
    pub(super) says_reaped: bool,
    #[prost(bytes = "bytes", tag = "5")]
    pub(super) generation_list: Bytes,
    #[prost(fixed32, repeated, tag = "6")]
    pub(super) rebuilding: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Pull {
    #[prost(fixed64, tag = "1")]
    pub(super) op: u64,
    #[prost(message, optional, tag = "2")]
    pub(super) range: Option<Range>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct PullReply {
    #[prost(fixed64, tag = "1")]
    pub(super) op: u64,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) record_list: Bytes,
    #[prost(bytes = "bytes", optional, tag = "3")]
    pub(super) next: Option<Bytes>,
    #[prost(bool, tag = "4")]
    pub(super) is_failed: bool,
    #[prost(bool, tag = "5")]
    pub(super) is_partial: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Pulse {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Gossip {
    #[prost(uint32, tag = "1")]
    pub(super) talk_code: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) state_list: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) version_list: Bytes,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) node_list: Bytes,
    #[prost(fixed64, tag = "5")]
    pub(super) nonce: u64,
    #[prost(fixed32, tag = "6")]
    pub(super) node: u32,
    #[prost(bool, tag = "7")]
    pub(super) is_reached: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Entropy {
    #[prost(uint32, tag = "1")]
    pub(super) talk_code: u32,
    #[prost(fixed64, tag = "2")]
    pub(super) op: u64,
    #[prost(uint32, tag = "3")]
    pub(super) copies: u32,
    #[prost(uint32, tag = "4")]
    pub(super) class_code: u32,
    #[prost(uint32, tag = "5")]
    pub(super) level_code: u32,
    #[prost(uint32, tag = "6")]
    pub(super) partition: u32,
    #[prost(uint32, tag = "7")]
    pub(super) leaf: u32,
    #[prost(bytes = "bytes", tag = "8")]
    pub(super) digest_list: Bytes,
    #[prost(bytes = "bytes", tag = "9")]
    pub(super) number_list: Bytes,
    #[prost(bytes = "bytes", tag = "10")]
    pub(super) uncounted_list: Bytes,
    #[prost(message, optional, tag = "11")]
    pub(super) range: Option<Range>,
    #[prost(bytes = "bytes", tag = "12")]
    pub(super) key_list: Bytes,
    #[prost(bytes = "bytes", tag = "13")]
    pub(super) record_list: Bytes,
    #[prost(bytes = "bytes", optional, tag = "14")]
    pub(super) complete_up_to: Option<Bytes>,
    #[prost(bool, tag = "15")]
    pub(super) is_failed: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Reaping {
    #[prost(uint32, tag = "1")]
    pub(super) talk_code: u32,
    #[prost(fixed64, tag = "2")]
    pub(super) op: u64,
    #[prost(uint32, tag = "3")]
    pub(super) partition: u32,
    #[prost(uint32, tag = "4")]
    pub(super) bucket: u32,
    #[prost(uint64, tag = "5")]
    pub(super) generation: u64,
    #[prost(bytes = "bytes", tag = "6")]
    pub(super) key_list: Bytes,
    #[prost(bytes = "bytes", tag = "7")]
    pub(super) digest_list: Bytes,
    #[prost(bytes = "bytes", tag = "8")]
    pub(super) number_list: Bytes,
    #[prost(bool, tag = "9")]
    pub(super) is_refused: bool,
    #[prost(fixed64, optional, tag = "10")]
    pub(super) life: Option<u64>,
    #[prost(bytes = "bytes", tag = "11")]
    pub(super) life_list: Bytes,
}
