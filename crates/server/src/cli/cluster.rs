//! `torc cluster`: the nodes as one of them sees them.

use clap::Subcommand;
use comfy_table::{Table, TableStyle};

use super::bucket::shown;
use super::failure::Failure;
use super::wait::{self, WaitArgs};
use super::{Later, Session, print_line};

/// `torc cluster`.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the nodes, their liveness and their share
    Status,
    /// Plan a change (not in this version)
    Plan(Later),
    /// Drain a node and let it go (not in this version)
    Leave(Later),
    /// Put a new node in the place of another (not in this version)
    Replace(Later),
    /// Remove a dead node (not in this version)
    Remove(Later),
    /// Change a node's share (not in this version)
    SetCapacity(Later),
    /// Wait until all hints are delivered
    Wait(WaitArgs),
}

/// Runs it.
pub fn run(command: &ClusterCommand, session: &mut Session) -> Result<(), Failure> {
    let later = |what: &str| Err(Failure::later(&format!("torc cluster {what}")));
    match command {
        ClusterCommand::Status => status(session),
        ClusterCommand::Plan(_) => later("plan"),
        ClusterCommand::Leave(_) => later("leave"),
        ClusterCommand::Replace(_) => later("replace"),
        ClusterCommand::Remove(_) => later("remove"),
        ClusterCommand::SetCapacity(_) => later("set-capacity"),
        ClusterCommand::Wait(args) => wait::run(args, session),
    }
}

fn status(session: &mut Session) -> Result<(), Failure> {
    let cluster = session.json_of("/v1/cluster")?;
    if session.json {
        print_line(&cluster.to_string());
        return Ok(());
    }
    let part = |name: &str| shown(&cluster[name]);
    print_line(&format!(
        "cluster {}, ring epoch {}, {} partitions",
        part("cluster"),
        part("ring_epoch"),
        part("partitions")
    ));
    let columns = [
        "name",
        "id",
        "host",
        "base_port",
        "dc",
        "rack",
        "capacity",
        "liveness",
        "virtual_nodes",
        "bytes",
    ];
    let mut table = Table::new();
    table.load_style(TableStyle::new()).set_header(columns);
    for node in cluster["nodes"].as_array().into_iter().flatten() {
        table.add_row(columns.map(|column| shown(&node[column])));
    }
    print_line(&table.trim_fmt());
    Ok(())
}
