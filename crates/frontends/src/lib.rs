//! Client protocols: bytes and values in, commands out; outcomes in, bytes out. No sockets, no clocks, no async.

pub mod http;
pub mod resp;
