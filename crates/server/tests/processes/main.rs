//! Real `torc` processes: what a person at a shell would see. Each file is one story.

mod acknowledgements;
mod big_data;
mod cluster;
mod crashes;
mod development;
mod http;
mod limits;
mod partitions;
mod redis_clients;
mod vector_clocks;
