//! A listing of a cluster at rest shows every key with something to show exactly once, in order, however small its pages
//! are (RULINGS 22).

use crate::checkers::Violation;
use crate::history::History;
use crate::shown::Shown;

/// One listed record: partition key and sort key.
pub type Listed = (Vec<u8>, Vec<u8>);

/// Judges a walk over the bucket with siblings, by what reads of its keys showed.
pub fn check_keys(history: &History, shown: &[Shown], listed: &[Listed]) -> Result<(), Violation> {
    compare("a walk over the keys", &expected(history, shown, None), listed)
}

/// Judges the sort keys of one key, in the order in which they came.
pub fn check_sort_keys(history: &History, shown: &[Shown], key: &[u8], listed: &[Listed]) -> Result<(), Violation> {
    if !listed.is_sorted() {
        return Violation::new("listing", format!("sort keys came in the order {}", words(listed)));
    }
    compare("a listing", &expected(history, shown, Some(key)), listed)
}

fn expected(history: &History, shown: &[Shown], only: Option<&[u8]>) -> Vec<Listed> {
    let keys = history.keys.iter().zip(shown);
    let visible = keys.filter(|(key, shown)| key.keeps_siblings() && !shown.puts.is_empty());
    visible
        .map(|(key, _)| (key.target.key.to_vec(), key.target.sort.to_vec()))
        .filter(|listed| only.is_none_or(|key| listed.0 == key))
        .collect()
}

fn compare(what: &str, expected: &[Listed], listed: &[Listed]) -> Result<(), Violation> {
    let (mut expected, mut listed) = (expected.to_vec(), listed.to_vec());
    expected.sort();
    listed.sort();
    if expected == listed {
        return Ok(());
    }
    Violation::new(
        "listing",
        format!("{what} gave {}, not {}", words(&listed), words(&expected)),
    )
}

fn words(listed: &[Listed]) -> String {
    let one = |(key, sort): &Listed| format!("{}/{}", key.escape_ascii(), sort.escape_ascii());
    listed.iter().map(one).collect::<Vec<_>>().join(" ")
}
