//! Broken disks and systems: what the sender sees, what the operator sees, whether service
//! resumes when the cause goes, and that nothing accepted is lost.
//!
//! Short by default. `make faults` tries more places and writes the table into
//! `src/manual/faults.md` (`RELAY_FAULTS=N`: the first N calls of each kind;
//! `RELAY_FAULTS_TABLE`: the file).

mod calls;
mod disk;
#[path = "../support/mod.rs"]
mod support;
mod system;
mod trial;

use std::{collections::BTreeMap, fmt::Write as _, fs};
use trial::Seen;

/// How many calls of each kind are tried.
fn places(short: usize) -> usize {
    match std::env::var("RELAY_FAULTS") {
        Ok(number) => number.parse().expect("RELAY_FAULTS is a number"),
        Err(_) => short,
    }
}

/// All of it, in one test: a table belongs to one run.
#[test]
fn every_fault_is_survived_and_told() {
    let mut table = Table::default();
    calls::run(&mut table);
    disk::run(&mut table);
    system::run(&mut table);
    let text = table.text();
    println!("{text}");
    if let Ok(file) = std::env::var("RELAY_FAULTS_TABLE") {
        let page = fs::read_to_string(&file).unwrap();
        let (head, _) = page.split_once("<!-- table -->").unwrap();
        fs::write(&file, format!("{head}<!-- table -->\n\n{text}")).unwrap();
    }
}

/// What was seen, by fault and place.
#[derive(Default)]
pub struct Table {
    rows: Vec<(String, String)>,
    seen: BTreeMap<(String, String), Seen>,
}

impl Table {
    /// Adds a trial to the row of its fault and place.
    pub fn add(&mut self, fault: &str, place: &str, seen: Seen) {
        println!("{fault} · {place}: {seen:?}");
        let key = (fault.to_owned(), place.to_owned());
        if !self.seen.contains_key(&key) {
            self.rows.push(key.clone());
        }
        self.seen.entry(key).or_default().add(seen);
    }

    fn text(&self) -> String {
        let mut text = String::from(
            "| fault | place | trials | the sender saw | the operator saw | service came back | lost |\n\
             |---|---|---:|---|---|---|---:|\n",
        );
        for key in &self.rows {
            let (fault, place) = key;
            let _ = writeln!(text, "| {fault} | {place} | {} |", self.seen[key].cells());
        }
        without_directories(&text)
    }
}

/// The temporary directories of a run are none of a reader's business.
fn without_directories(text: &str) -> String {
    let mark = std::env::temp_dir().join("relay");
    let mut parts = text.split(mark.to_str().unwrap());
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        clean += part.split_once('/').map_or(part, |(_, rest)| rest);
    }
    clean
}
