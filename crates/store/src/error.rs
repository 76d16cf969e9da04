//! Why a store was not opened. Each says what was found, where, and what to do about it.

use std::path::PathBuf;

/// The store was not opened, and nothing in it was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{dir} is in use by {holder}: stop that process, or choose another directory")]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// Who holds the lock, as far as the lock file says.
        holder: String,
    },
    /// The directory belongs to another cluster or node.
    #[error(
        "{dir} holds the data of {kind} `{found}`, not of `{expected}`: choose another directory, or correct the configuration"
    )]
    OtherOwner {
        /// The data directory.
        dir: PathBuf,
        /// "cluster" or "node".
        kind: &'static str,
        /// What the directory says.
        found: String,
        /// What the configuration says.
        expected: String,
    },
    /// The directory was written under another ring or other buckets.
    #[error(
        "{dir} was written under another ring (stored: {found}; configured: {expected}): members and buckets can't be changed by configuration alone; restore the old one, or start with an empty directory"
    )]
    OtherRing {
        /// The data directory.
        dir: PathBuf,
        /// What the directory says.
        found: String,
        /// What the configuration says.
        expected: String,
    },
    /// A later version of Torc has written the directory.
    #[error("{dir} has format {found}, and this version of Torc reads formats up to {known}: install a newer Torc")]
    NewerFormat {
        /// The data directory.
        dir: PathBuf,
        /// The format on disk.
        found: u32,
        /// The newest one that is known here.
        known: u32,
    },
    /// The file that says whose directory this is can't be read.
    #[error(
        "{file} is damaged or missing ({what}): restore it, or run `torc serve --rebuild`, which sets the damaged data aside and fetches this node's copies from the others"
    )]
    DamagedIdentity {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
    /// A journal is damaged in its middle: what follows was acknowledged and can't be trusted to be whole.
    #[error(
        "{file} is damaged at byte {offset} ({what}), and this is no torn tail: acknowledged writes are lost here; run `torc serve --rebuild`, which sets the damaged data aside and fetches this node's copies from the others"
    )]
    DamagedJournal {
        /// The journal.
        file: PathBuf,
        /// The first bad byte's batch begins here.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The engine failed on a damaged file while the store was open before.
    #[error(
        "{what}: run `torc serve --rebuild`, which sets the damaged data aside and fetches this node's copies from the others; or remove {mark} to open them as they are"
    )]
    MarkedDamaged {
        /// Which file, and how that was noticed.
        what: String,
        /// What says so.
        mark: PathBuf,
    },
    /// A fact about this node fails its checksum.
    #[error(
        "a stored fact about this node is damaged ({what}): run `torc serve --rebuild`, which sets the damaged data aside and fetches this node's copies from the others"
    )]
    DamagedMeta {
        /// Which fact.
        what: &'static str,
    },
    /// The file system failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Files of the engine are damaged or missing.
    #[error(
        "the storage engine can't read {dir} ({what}): run `torc serve --rebuild`, which sets the damaged data aside and fetches this node's copies from the others"
    )]
    DamagedEngine {
        /// The engine's directory.
        dir: PathBuf,
        /// What it says.
        what: String,
    },
    /// The engine failed.
    #[error("the storage engine can't open {dir}: {source}")]
    Engine {
        /// The engine's directory.
        dir: PathBuf,
        /// Why.
        source: fjall::Error,
    },
}

impl OpenError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn engine(dir: impl Into<PathBuf>) -> impl FnOnce(fjall::Error) -> Self {
        let dir = dir.into();
        move |source| {
            if is_about_the_system(&source) {
                Self::Engine { dir, source }
            } else {
                let what = source.to_string();
                Self::DamagedEngine { dir, what }
            }
        }
    }

    /// True if the data themselves are damaged: then this node's copies can be rebuilt from the other nodes.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::DamagedIdentity { .. }
            | Self::DamagedJournal { .. }
            | Self::MarkedDamaged { .. }
            | Self::DamagedMeta { .. }
            | Self::DamagedEngine { .. } => true,
            Self::Locked { .. }
            | Self::OtherOwner { .. }
            | Self::OtherRing { .. }
            | Self::NewerFormat { .. }
            | Self::Io { .. }
            | Self::Engine { .. } => false,
        }
    }
}

/// Whether the system refused, rather than what was read was wrong.
fn is_about_the_system(error: &fjall::Error) -> bool {
    use std::io::ErrorKind;
    let kind = match error {
        fjall::Error::Io(error) => error.kind(),
        fjall::Error::Storage(fjall::LsmError::Io(error)) => error.kind(),
        fjall::Error::Locked => return true,
        _ => return false,
    };
    !matches!(
        kind,
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::NotFound
    )
}
