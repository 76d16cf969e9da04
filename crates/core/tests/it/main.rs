//! Stories told with a few whole nodes whose messages and disks are perfect and instant: the core's logic without the
//! simulator's weather.

mod anti_entropy;
mod asked_runs;
mod at_once;
mod boots;
mod clears;
mod cluster;
mod contexts;
mod damage;
mod data_centres;
mod full_disks;
mod outbid_updates;
mod overload;
mod reading_first;
mod shared_updates;
mod stand_ins;
mod stories;
