//! `spliceway filter list`

use clap::Args;

use super::sharing::Reach;
use crate::artifact::{self, Listed, Session};
use crate::cli::say;
use crate::config::Repository;

#[derive(Debug, Args)]
pub struct List {
    /// oci://HOST/REPOSITORY
    #[arg(value_name = "oci://REPOSITORY", value_parser = repository)]
    of: Repository,

    #[command(flatten)]
    reach: Reach,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub fn list(asked: &List) -> anyhow::Result<()> {
    let all = Session::run(&asked.reach.registries(), &asked.of, async |session| {
        artifact::list(&session).await
    })?;
    match asked.json {
        true => say(&serde_json::to_string_pretty(&all)?),
        false => say(&table(&all)),
    }
    Ok(())
}

fn repository(text: &str) -> Result<Repository, String> {
    text.parse().map_err(|error| format!("{error}"))
}

/// A line for each version. Nothing is checked: `verify` does that.
fn table(all: &[Listed]) -> String {
    let unknown = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let heading = ["TAG", "VERSION", "CONTRACT", "SIGNED BY", "DIGEST"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(heading)
        .chain(all.iter().map(|listed| {
            let signed = match listed.signed_by.is_empty() {
                true => "nobody".to_owned(),
                false => listed.signed_by.join(","),
            };
            let (version, contract) = (unknown(&listed.version), unknown(&listed.contract));
            [listed.tag.clone(), version, contract, signed, listed.digest.clone()].map(|cell| printable(&cell))
        }))
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}  "));
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Annotations come from strangers.
fn printable(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { '?' } else { character })
        .take(80)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_version_and_no_escapes_of_strangers() {
        let listed = |tag: &str, version: Option<&str>, signed_by: &[&str]| Listed {
            tag: tag.to_owned(),
            digest: "sha256:12".to_owned(),
            version: version.map(str::to_owned),
            contract: Some("0.1.0".to_owned()),
            signed_by: signed_by.iter().map(|&key| key.to_owned()).collect(),
        };
        let all = [
            listed("1.2", Some("1.2.0"), &["E762", "cosign"]),
            listed("latest", Some("\u{1b}[2J"), &[]),
        ];
        assert_eq!(
            table(&all),
            "TAG     VERSION  CONTRACT  SIGNED BY    DIGEST\n\
             1.2     1.2.0    0.1.0     E762,cosign  sha256:12\n\
             latest  ?[2J     0.1.0     nobody       sha256:12"
        );
    }
}
