//! Pages that people read: a word, and what is said of it, a line for each.

use std::time::Duration;

use crate::cli::check::lines;

/// Each word with its items, which go on as many lines as they take.
pub fn page(rows: &[(&str, Vec<String>)]) -> String {
    let width = rows.iter().map(|(word, _)| word.len()).max().unwrap_or(0) + 2;
    let mut page = String::new();
    for (word, items) in rows {
        for (number, line) in lines(items).iter().enumerate() {
            let word = if number == 0 { word } else { "" };
            page.push_str(&format!("  {word:<width$}{line}\n"));
        }
    }
    page.truncate(page.trim_end().len());
    page
}

/// The contract's interfaces by their own names, others by package and name.
pub fn short(name: &str) -> String {
    let name = name.strip_prefix("spliceway:filter/").unwrap_or(name);
    name.split_once('@').map_or(name, |(name, _)| name).to_owned()
}

/// To two or three digits.
pub fn took(time: Duration) -> String {
    match time.as_millis() {
        0 => format!("{} us", time.as_micros()),
        ms @ 1..1000 => format!("{ms} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}
