//! A request as raw bytes: whatever it is, it is routed or refused, and a refusal is an answer with a body in JSON.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use torc_core::bucket::{Bucket, Catalog};
use torc_core::command::Command;
use torc_core::limits::BATCH_ITEMS_MAX;
use torc_core::time::Wall;
use torc_frontends::http::{Route, limits_of, parse_raw, route, too_large};

static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(|| Arc::new(Catalog::new(Bucket::initial())));

fuzz_target!(|data: &[u8]| {
    let Some(raw) = parse_raw(data) else { return };
    let limit = limits_of(&raw.method, &raw.target, &CATALOG);
    if raw.body.len() > limit {
        assert!(
            too_large(&raw.method, &raw.target, &CATALOG, None)
                .status
                .is_client_error()
        );
        return;
    }
    match route(
        &raw.method,
        &raw.target,
        &raw.headers,
        raw.body,
        &CATALOG,
        Wall(1_700_000_000_000),
    ) {
        Route::Command(planned) => {
            if let Command::Batch(batch) = &planned.command {
                assert!(batch.commands.len() <= BATCH_ITEMS_MAX);
            }
            let _ = planned.command.write();
        }
        Route::Node(_) => {}
        Route::Answer(reply) => {
            let is_head = raw.method.as_str() == "HEAD";
            assert!(is_head || reply.body.first() == Some(&b'{'));
        }
    }
});
