//! Causality: dots, contexts, versions, and the two kinds of record (siblings and last-writer-wins).

pub mod codec;
pub mod context;
pub mod dot;
pub mod lww;
pub mod marks;
pub mod record;
pub mod siblings;
pub mod token;
pub mod value;

pub use context::Context;
pub use dot::Dot;
pub use lww::{Expiry, LwwRecord, Stamp};
pub use marks::{RequestMark, RequestMarks};
pub use record::Record;
pub use siblings::{SiblingsRecord, Version};
pub use token::ClientContext;
pub use value::{Payload, Value};
