//! A picture as plain text: for a script, and for whoever reports a mistake.

use super::columns::{Cell, Table};
use super::look::Order;
use super::picture::Picture;
use super::tables;

impl Picture {
    /// All of it. There is no picture of rates where there are none.
    pub fn text(&self) -> String {
        let mut text = words(&tables::identity(self, "")) + &words(&tables::work(self));
        for table in [
            tables::traffic(self),
            tables::workers(self),
            tables::listeners(self, Order::Name),
            tables::servers(self, Order::Name),
            tables::filters(self, Order::Name),
            tables::connections(self, Order::Biggest),
            tables::connections(self, Order::Slowest),
            tables::recent(self, Order::Newest),
            tables::errors(self),
        ] {
            add(&mut text, &table);
        }
        text
    }
}

/// What is empty is left out.
fn add(text: &mut String, table: &Table) {
    if table.len() > 0 {
        text.push('\n');
        text.push_str(&table.text());
    }
}

fn words(cells: &[Cell]) -> String {
    let words: Vec<&str> = cells.iter().map(|cell| cell.text.as_str()).collect();
    words.join("  ").trim_end().to_owned() + "\n"
}
