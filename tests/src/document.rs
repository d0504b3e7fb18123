//! The code blocks of a Markdown document, with what the comments above them say about them.

/// A fenced block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The word behind the fence: `sh`, `console`, `toml`, `rust`.
    pub language: String,
    pub text: String,
    pub marker: Marker,
    /// Of the fence, counted from 1.
    pub line: usize,
}

/// What the HTML comment right above a block says: readers do not see it, the test does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Marker {
    None,
    /// `<!-- not run: REASON -->`
    NotRun(String),
    /// `<!-- file: PATH -->`: the block is a part of that file, which lies beside the document.
    File(String),
    /// `<!-- until it says so -->`: run again until its output is as written.
    Until,
    /// `<!-- needs: WHAT -->`, `postgres on PORT with DATABASE`: started before the block.
    Needs(String),
    /// Any other comment.
    Unknown(String),
}

/// One command of a block, and what it is to print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    pub command: String,
    pub expected: Vec<String>,
}

/// Every block of a document, in order.
pub fn blocks(document: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut comment = String::new();
    let mut lines = document.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let text: Vec<_> = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| *line != "```")
                .collect();
            blocks.push(Block {
                language: language.to_owned(),
                text: text.join("\n") + "\n",
                marker: marker(&comment),
                line: index + 1,
            });
            comment.clear();
        } else if line.starts_with("<!--") {
            comment = line.to_owned();
            while !comment.contains("-->")
                && let Some((_, more)) = lines.next()
            {
                comment = format!("{comment} {}", more.trim());
            }
        } else if !line.is_empty() {
            comment.clear();
        }
    }
    blocks
}

fn marker(comment: &str) -> Marker {
    let said = comment.trim_start_matches("<!--");
    let said = said.split("-->").next().unwrap_or_default().trim();
    match said.split_once(": ") {
        None if said.is_empty() => Marker::None,
        None if said == "until it says so" => Marker::Until,
        Some(("not run", reason)) if !reason.trim().is_empty() => Marker::NotRun(reason.to_owned()),
        Some(("file", path)) => Marker::File(path.to_owned()),
        Some(("needs", what)) => Marker::Needs(what.to_owned()),
        _ => Marker::Unknown(said.to_owned()),
    }
}

impl Block {
    /// The commands of a `sh` block, which promises no output, or of a `console` block, where a `$` stands before them.
    pub fn steps(&self) -> Vec<Step> {
        let console = self.language == "console";
        let mut steps: Vec<Step> = Vec::new();
        let mut continued = false;
        // What ends the text that a command is given.
        let mut end: Option<String> = None;
        for line in self.text.lines() {
            let command = match console {
                true => line.strip_prefix("$ "),
                false => (!line.is_empty() && !line.starts_with('#')).then_some(line),
            };
            match (command, steps.last_mut()) {
                (_, Some(step)) if continued || end.is_some() => step.command = format!("{}\n{line}", step.command),
                (Some(command), _) => steps.push(Step {
                    command: command.to_owned(),
                    expected: Vec::new(),
                }),
                (None, Some(step)) if console => step.expected.push(line.to_owned()),
                (None, _) => {}
            }
            continued = line.ends_with('\\');
            if end.as_deref() == Some(line) {
                end = None;
            } else if let Some((_, word)) = line.split_once("<<'") {
                end = word.strip_suffix('\'').map(str::to_owned);
            }
        }
        steps
    }
}

/// The ports of a text: numbers that stand behind the address of this machine, or of all its addresses.
pub fn ports(text: &str) -> Vec<u16> {
    let mut ports = Vec::new();
    for address in ["127.0.0.1:", "0.0.0.0:", "localhost:", "[::1]:", "[::]:"] {
        for (place, _) in text.match_indices(address) {
            let digits = text[place + address.len()..].split(|c: char| !c.is_ascii_digit());
            if let Some(port) = digits.map(str::parse).next().and_then(Result::ok)
                && !ports.contains(&port)
            {
                ports.push(port);
            }
        }
    }
    ports
}

/// The text with other numbers where these stand by themselves. A number that is a part of a word, of a longer number or of
/// a decimal fraction is another one.
pub fn renumbered(text: &str, numbers: &[(u16, u16)]) -> String {
    let belongs = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let end = rest[start..]
            .find(|c: char| !c.is_ascii_digit())
            .map_or(rest.len(), |length| start + length);
        let apart = !result
            .chars()
            .chain(rest[..start].chars())
            .next_back()
            .is_some_and(belongs)
            && !rest[end..]
                .chars()
                .next()
                .is_some_and(|c| c.is_alphanumeric() || c == '_');
        let known = numbers.iter().find(|(old, _)| rest[start..end] == old.to_string());
        result.push_str(&rest[..start]);
        match known {
            Some((_, new)) if apart => result.push_str(&new.to_string()),
            _ => result.push_str(&rest[start..end]),
        }
        rest = &rest[end..];
    }
    result + rest
}

/// Whether lines are as a document promises: `...` stands for anything in a line, and alone for any lines.
pub fn matches(expected: &[String], lines: &[&str]) -> bool {
    match expected.split_first() {
        None => lines.is_empty(),
        Some((any, rest)) if any == "..." => (0..=lines.len()).any(|skipped| matches(rest, &lines[skipped..])),
        Some((first, rest)) => lines
            .split_first()
            .is_some_and(|(line, more)| line_matches(first, line) && matches(rest, more)),
    }
}

/// Whether one line is as promised.
pub fn line_matches(expected: &str, line: &str) -> bool {
    match expected.trim_end().split_once("...") {
        None => expected.trim_end() == line.trim_end(),
        Some((first, rest)) => line.strip_prefix(first).is_some_and(|tail| {
            let mut places = (0..=tail.len()).filter(|&place| tail.is_char_boundary(place));
            places.any(|place| line_matches(rest, &tail[place..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_knows_its_language_its_marker_and_its_place() {
        let document = "text\n\n```sh\na\n```\n<!-- not run: it\n     costs -->\n\n```toml\nb = 1\n```\n<!-- x -->\ntext\n```\n```\n";
        let blocks = blocks(document);
        assert_eq!(blocks.len(), 3);
        assert_eq!((blocks[0].language.as_str(), blocks[0].line), ("sh", 3));
        assert_eq!(blocks[0].marker, Marker::None);
        assert_eq!(blocks[1].text, "b = 1\n");
        assert_eq!(blocks[1].marker, Marker::NotRun("it costs".to_owned()));
        assert_eq!(blocks[2].marker, Marker::None);
        assert_eq!(marker("<!-- not run: -->"), Marker::Unknown("not run:".to_owned()));
    }

    #[test]
    fn commands_have_what_they_are_to_print() {
        let block = |language: &str, text: &str| Block {
            language: language.to_owned(),
            text: text.to_owned(),
            marker: Marker::None,
            line: 1,
        };
        let steps = block("console", "$ a \\\n  b\nx\ny\n$ c\n").steps();
        assert_eq!(steps[0].command, "a \\\n  b");
        assert_eq!(steps[0].expected, ["x", "y"]);
        assert_eq!(steps[1].command, "c");
        let steps = block("sh", "# why\na\n\nb \\\n  c\n").steps();
        assert_eq!(steps.len(), 2);
        assert_eq!(steps[1].command, "b \\\n  c");
    }

    #[test]
    fn only_whole_numbers_are_renumbered() {
        let text = "listen 127.0.0.1:80, -p 80; 8080 0.80 80x \"80\" 1.80.";
        assert_eq!(ports(text), [80]);
        assert_eq!(
            renumbered(text, &[(80, 1234)]),
            "listen 127.0.0.1:1234, -p 1234; 8080 0.80 80x \"1234\" 1.80."
        );
    }

    #[test]
    fn three_dots_stand_for_anything() {
        let matches = |expected: &[&str], lines: &[&str]| {
            let expected: Vec<_> = expected.iter().map(|&line| line.to_owned()).collect();
            super::matches(&expected, lines)
        };
        assert!(matches(&["a", "...", "z"], &["a", "z"]));
        assert!(matches(&["a", "...", "z"], &["a", "b", "c", "z"]));
        assert!(!matches(&["a", "...", "z"], &["a", "b"]));
        assert!(matches(&["x...z"], &["xyz"]));
        assert!(matches(&["...y..."], &["xyz"]));
        assert!(!matches(&["x...y"], &["xyz"]));
        assert!(!matches(&["a"], &["ab"]));
        assert!(!matches(&[], &["a"]));
    }
}
