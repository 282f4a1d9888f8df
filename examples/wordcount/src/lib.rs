//! A TDL package in Rust: what words a text is made of.
//!
//! - `count(path: string, top: uint64) -> List<Tuple<string, uint64>>`: the most
//!   frequent words of a file, with how often they occur
//! - `lengths(text: string) -> Map<uint64, uint64>`: how many words there are of
//!   each length in characters
//! - `longest(words: List<string>) -> Option<string>`: the first of the longest
//! - `nth(words: List<string>, n: uint64) -> string`: panics where there is none,
//!   to show what comes of that
//!
//! A word is what stands between characters that are neither letters nor digits;
//! upper and lower case are the same.
//!
//!     cargo build --release --manifest-path examples/wordcount/Cargo.toml --target-dir build/cargo
//!     mkdir -p packages/wordcount
//!     cp build/cargo/release/libwordcount.so packages/wordcount/
//!     SPIDER_TDL_PACKAGE_DIR=packages spider run wordcount count '"README.md"' 3

mod tdl;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader};

tdl::package! {
    name: "wordcount",
    describe: DESCRIPTION,
    tasks: {
        count(path: String, top: u64),
        lengths(text: String),
        longest(words: Vec<String>),
        nth(words: Vec<String>, n: u64),
    },
}

const DESCRIPTION: &str = r#"{"describe": 1, "name": "wordcount", "abi": "0.1.0", "sdk": "none, tdl.rs",
"build": {"language": "Rust"},
"tasks": [
{"name": "count", "doc": "The most frequent words of a file.",
 "params": [{"name": "path", "type": "string"}, {"name": "top", "type": "uint64"}],
 "results": [{"type": "List<Tuple<string, uint64>>"}]},
{"name": "lengths", "doc": "How many words there are of each length.",
 "params": [{"name": "text", "type": "string"}],
 "results": [{"type": "Map<uint64, uint64>"}]},
{"name": "longest", "doc": "The first of the longest words.",
 "params": [{"name": "words", "type": "List<string>"}],
 "results": [{"type": "Option<string>"}]},
{"name": "nth", "doc": "A word by its index; panics where there is none.",
 "params": [{"name": "words", "type": "List<string>"}, {"name": "n", "type": "uint64"}],
 "results": [{"type": "string"}]}
]}"#;

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

/// Reads line by line; a line that is not UTF-8 is read as well as it goes.
fn count(path: String, top: u64) -> Result<Vec<(String, u64)>, tdl::Error> {
    let failed = |e| tdl::Error::execution(format!("{path}: {e}"));
    let mut lines = BufReader::new(File::open(&path).map_err(failed)?);
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).map_err(failed)? > 0 {
        for word in words(&String::from_utf8_lossy(&line)) {
            *counts.entry(word).or_default() += 1;
        }
        line.clear();
    }
    let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
    // Words as frequent as each other come in the alphabet's order.
    counts.sort_unstable_by(|a, b| (Reverse(a.1), &a.0).cmp(&(Reverse(b.1), &b.0)));
    counts.truncate(usize::try_from(top).unwrap_or(usize::MAX));
    Ok(counts)
}

fn lengths(text: String) -> Result<BTreeMap<u64, u64>, tdl::Error> {
    let mut lengths = BTreeMap::new();
    for word in words(&text) {
        *lengths.entry(word.chars().count() as u64).or_default() += 1;
    }
    Ok(lengths)
}

fn longest(words: Vec<String>) -> Result<Option<String>, tdl::Error> {
    Ok(words
        .into_iter()
        .rev()
        .max_by_key(|word| word.chars().count()))
}

fn nth(words: Vec<String>, n: u64) -> Result<String, tdl::Error> {
    Ok(words[n as usize].clone())
}
