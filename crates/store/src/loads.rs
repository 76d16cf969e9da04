//! The loads under way, as the node thread knows them: who waits for which record, and which of them have become old
//! since they were asked for. An old one is an answer to those who asked before, and must not get into the cache.

use smallvec::SmallVec;
use torc_core::id::Token;
use torc_core::key::RecordKey;
use torc_core::map::FastMap;

#[derive(Debug)]
struct Load {
    key: RecordKey,
    /// Who else waits for it.
    others: SmallVec<[Token; 2]>,
    /// The record was written since.
    is_old: bool,
}

/// What has come of a load.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// Whose record it is; `None`: it must not be kept.
    pub keep_as: Option<RecordKey>,
    /// Who else waits for it.
    pub others: SmallVec<[Token; 2]>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Loads {
    loads: FastMap<Token, Load>,
    /// The one of each record that is not old.
    by_key: FastMap<RecordKey, Token>,
}

impl Loads {
    /// Waits for a record; true if it must be asked for, under this token.
    pub fn wait(&mut self, token: Token, key: &RecordKey) -> bool {
        if let Some(first) = self.by_key.get(key)
            && let Some(load) = self.loads.get_mut(first)
        {
            load.others.push(token);
            return false;
        }
        self.by_key.insert(key.clone(), token);
        let load = Load {
            key: key.clone(),
            others: SmallVec::new(),
            is_old: false,
        };
        self.loads.insert(token, load);
        true
    }

    /// The record is written: what is being loaded is old.
    pub fn written(&mut self, key: &RecordKey) {
        if !self.by_key.is_empty()
            && let Some(token) = self.by_key.remove(key)
            && let Some(load) = self.loads.get_mut(&token)
        {
            load.is_old = true;
        }
    }

    /// Records were given up: everything that is being loaded is old.
    pub fn all_old(&mut self) {
        self.by_key.clear();
        self.loads.values_mut().for_each(|load| load.is_old = true);
    }

    /// A load has come back; `None` if the token is of something else.
    pub fn loaded(&mut self, token: Token) -> Option<Loaded> {
        if self.loads.is_empty() {
            return None;
        }
        let Load { key, others, is_old } = self.loads.remove(&token)?;
        if is_old {
            return Some(Loaded { keep_as: None, others });
        }
        self.by_key.remove(&key);
        let keep_as = Some(key);
        Some(Loaded { keep_as, others })
    }
}

#[cfg(test)]
mod tests {
    use torc_core::id::{BucketId, PartitionId};

    use super::*;

    fn key(name: &[u8]) -> RecordKey {
        RecordKey::new(PartitionId(1), BucketId(1), 1, name, b"")
    }

    #[test]
    fn a_record_is_asked_for_once_and_everybody_is_told() {
        let mut loads = Loads::default();
        assert!(loads.wait(Token(1), &key(b"a")));
        assert!(!loads.wait(Token(2), &key(b"a")));
        assert!(loads.wait(Token(3), &key(b"b")));
        let loaded = loads.loaded(Token(1)).expect("under way");
        assert_eq!((loaded.keep_as, &loaded.others[..]), (Some(key(b"a")), &[Token(2)][..]));
        assert!(loads.loaded(Token(1)).is_none(), "once");
        assert!(loads.wait(Token(4), &key(b"a")), "the next one asks again");
    }

    #[test]
    fn what_is_written_meanwhile_is_asked_for_again_and_the_old_one_is_not_kept() {
        let mut loads = Loads::default();
        assert!(loads.wait(Token(1), &key(b"a")));
        loads.written(&key(b"a"));
        assert!(
            loads.wait(Token(2), &key(b"a")),
            "what is on its way may be from before the write"
        );
        assert_eq!(loads.loaded(Token(1)).expect("under way").keep_as, None);
        assert_eq!(loads.loaded(Token(2)).expect("under way").keep_as, Some(key(b"a")));
        assert!(loads.wait(Token(3), &key(b"a")));
        loads.all_old();
        assert_eq!(loads.loaded(Token(3)).expect("under way").keep_as, None);
    }
}
