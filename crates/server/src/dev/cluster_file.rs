//! `DIR/cluster.json`: who runs where, for scripts and tests. Written by rename, so that a reader sees a whole file.

use std::path::Path;

use serde::Serialize;

use super::plan::NodePlan;
use crate::config::{HTTP_PORT, PEER_PORT, RESP_PORT};

/// One node of the file.
#[derive(Debug, Serialize)]
pub struct Entry {
    name: String,
    pid: u32,
    dir: String,
    peer: String,
    http: String,
    resp: String,
}

#[derive(Debug, Serialize)]
struct ClusterFile<'a> {
    nodes: &'a [Entry],
}

impl Entry {
    /// A node and the process that it runs in.
    pub fn new(node: &NodePlan, pid: u32) -> Self {
        Self {
            name: node.name.clone(),
            pid,
            dir: node.dir.display().to_string(),
            peer: node.address(PEER_PORT),
            http: node.address(HTTP_PORT),
            resp: node.address(RESP_PORT),
        }
    }
}

/// Writes the file.
///
/// # Errors
/// The directory can't be written to.
pub fn write(dir: &Path, nodes: &[Entry]) -> std::io::Result<()> {
    let text = serde_json::to_string(&ClusterFile { nodes }).map_err(std::io::Error::other)?;
    let path = dir.join("cluster.json.new");
    std::fs::write(&path, text + "\n")?;
    std::fs::rename(path, dir.join("cluster.json"))
}
