//! What a WebAssembly file says of itself beside its code: who made it. Read without believing any of it.

use std::collections::BTreeMap;

/// What a file is, by its first bytes (core specification 5.5.16; component model, Binary.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Component,
    Module,
    /// Text, precompiled code, or something else altogether.
    Unknown,
}

/// The tools that made a file, and their versions: language, processed-by, sdk.
pub type Producers = BTreeMap<String, BTreeMap<String, String>>;

/// In a component: a module, a component.
const MODULE: u8 = 1;
const COMPONENT: u8 = 4;

const CUSTOM: u8 = 0;

/// Components in components: more than any tool makes.
const DEEPEST: usize = 8;

/// What is kept of each list: more than any tool writes.
const MOST: usize = 64;

impl Kind {
    pub fn of(bytes: &[u8]) -> Self {
        match bytes.get(..8) {
            Some(b"\0asm\x0d\0\x01\0") => Self::Component,
            Some(b"\0asm\x01\0\0\0") => Self::Module,
            _ => Self::Unknown,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Component => "a WebAssembly component",
            Self::Module => "a WebAssembly module",
            Self::Unknown => "no WebAssembly",
        }
    }
}

/// All that the sections `producers` say, of the file and of what is in it. As far as they can be read.
pub fn producers(bytes: &[u8]) -> Producers {
    let mut producers = Producers::new();
    collect(bytes, 0, &mut producers);
    producers
}

fn collect(bytes: &[u8], depth: usize, producers: &mut Producers) {
    if depth == DEEPEST || Kind::of(bytes) == Kind::Unknown {
        return;
    }
    let is_component = Kind::of(bytes) == Kind::Component;
    let mut rest = Reader(&bytes[8..]);
    while let Some((id, mut content)) = rest.section() {
        match id {
            CUSTOM if content.text() == Some("producers") => _ = fields(&mut content, producers),
            MODULE | COMPONENT if is_component => collect(content.0, depth + 1, producers),
            _ => {}
        }
    }
}

/// The tool conventions, ProducersSection.md.
fn fields(content: &mut Reader<'_>, producers: &mut Producers) -> Option<()> {
    for _ in 0..content.number()?.min(MOST) {
        let field = content.text()?.to_owned();
        for _ in 0..content.number()?.min(MOST) {
            let (name, version) = (content.text()?.to_owned(), content.text()?.to_owned());
            producers.entry(field.clone()).or_default().insert(name, version);
        }
    }
    Some(())
}

/// What is left to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn section(&mut self) -> Option<(u8, Self)> {
        let (id, rest) = self.0.split_first()?;
        self.0 = rest;
        let size = self.number()?;
        Some((*id, Self(self.bytes(size)?)))
    }

    fn text(&mut self) -> Option<&'a str> {
        let size = self.number()?;
        std::str::from_utf8(self.bytes(size)?).ok()
    }

    fn bytes(&mut self, size: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(size)?;
        self.0 = rest;
        Some(bytes)
    }

    /// LEB128, of 32 bits.
    fn number(&mut self) -> Option<usize> {
        let mut number = 0_u64;
        for place in 0..5 {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return usize::try_from(number).ok();
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&[text.len() as u8], text.as_bytes()].concat()
    }

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        [&[id, content.len() as u8], content].concat()
    }

    fn made_with(tool: &str) -> Vec<u8> {
        let fields = [&[1][..], &text("language"), &[1], &text(tool), &text("1")].concat();
        section(CUSTOM, &[text("producers"), fields].concat())
    }

    #[test]
    fn what_made_a_component_and_the_modules_in_it_is_known() {
        let module = [&b"\0asm\x01\0\0\0"[..], &made_with("Rust")].concat();
        let component = [&b"\0asm\x0d\0\x01\0"[..], &section(MODULE, &module), &made_with("C")].concat();
        let languages = &producers(&component)["language"];
        assert_eq!(languages.keys().collect::<Vec<_>>(), ["C", "Rust"]);
        assert_eq!(
            (Kind::of(&module), Kind::of(&component)),
            (Kind::Module, Kind::Component)
        );
    }

    #[test]
    fn what_is_cut_off_or_lies_about_its_length_is_read_as_far_as_it_goes() {
        let component = [
            &b"\0asm\x0d\0\x01\0"[..],
            &made_with("C"),
            &[CUSTOM, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ]
        .concat();
        assert_eq!(producers(&component).len(), 1);
        for end in 0..component.len() {
            producers(&component[..end]);
        }
        assert!(producers(b"\0asm\x0d\0\x01\0\0\x80\x80\x80\x80\x80\x80").is_empty());
        assert_eq!(Kind::of(b"(component)"), Kind::Unknown);
    }
}
