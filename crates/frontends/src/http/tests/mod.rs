//! Requests in, answers out, over the real core on a disk in memory. Every answer is held against the table of routes and
//! the OpenAPI document: a status, header or field that is not documented fails the test that met it.

mod batch;
mod commands;
mod documents;
mod failures;
mod hold;
mod kv;
mod lists;
mod properties;
mod reference;
mod schema;
mod server;
mod table;
