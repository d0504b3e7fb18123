//! `capture` of a `treatment`.

use schemars::JsonSchema;

use crate::config::diagnostics::{Problems, Reported};
use crate::config::percentage::Percentage;
use crate::config::reader::{Given, Read, Value, read_table};
use crate::config::units::{Size, Timeout};
use crate::config::word::Word;
use crate::config::{CaptureFormat, CaptureLegs, CaptureOnly, defaults, ranges};

/// Writes down what connections send and receive. They are not spliced while it does. What is written may be secret: it is in
/// the clear where TLS is decrypted.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Capture {
    /// Where its files are: the absolute path of a directory that exists, and that the proxy may write to.
    pub directory: Given<String>,
    /// `pcapng` for Wireshark and tshark; `text` and `hex` are lines with the bytes as text, or with a dump of them.
    #[schemars(extend("default" = Word::of(CaptureFormat::default())))]
    pub format: Option<Given<Word<CaptureFormat>>>,
    /// Which sockets: `both`, `client` or `upstream`; `filtered` is what is sent to either, so what came out of filters.
    #[schemars(extend("default" = Word::of(CaptureLegs::default())))]
    pub legs: Option<Given<Word<CaptureLegs>>>,
    /// How many bytes are kept of what is read or written at once, 0B to 64KiB.
    #[schemars(extend("default" = Size(defaults::CAPTURE_SNAP as u64).to_string()))]
    pub snap: Option<Given<Size>>,
    /// How large one file becomes, 256KiB to 64GiB.
    #[schemars(extend("default" = Size(defaults::CAPTURE_FILE_SIZE).to_string()))]
    pub file_size: Option<Given<Size>>,
    /// How many files are kept: then the oldest is removed.
    #[schemars(extend(
        "default" = defaults::CAPTURE_FILES,
        "minimum" = ranges::CAPTURE_FILES.start(),
        "maximum" = ranges::CAPTURE_FILES.end(),
    ))]
    pub files: Option<Given<i64>>,
    /// How long one connection is captured, 1ms to 8760h; 0 is to its end.
    #[schemars(extend("default" = "0"))]
    pub longest: Option<Given<Timeout>>,
    /// How many bytes are kept of one connection, from 1B: the first ones. With `only` the last ones, in memory, up to 16MiB; then
    /// it is 64KiB where nothing is said. Without either all are kept.
    pub bytes: Option<Given<Size>>,
    /// The share of connections that are captured, 0% to 100%; 0% captures none, and lets filters ask for the directory.
    #[schemars(extend("default" = "100%"))]
    pub share: Option<Given<Percentage>>,
    /// `abnormal`: a connection is written when it has ended, if its outcome was any but `finished`.
    pub only: Option<Given<Word<CaptureOnly>>>,
}

impl Read for Capture {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Result<Self, Reported> {
        let expected = "a table, as in `{ directory = \"/var/lib/spliceway/captures\" }`";
        read_table(value, expected, problems, |table| Self {
            directory: table.required("directory"),
            format: table.optional("format"),
            legs: table.optional("legs"),
            snap: table.optional("snap"),
            file_size: table.optional("file-size"),
            files: table.optional("files"),
            longest: table.optional("longest"),
            bytes: table.optional("bytes"),
            share: table.optional("share"),
            only: table.optional("only"),
        })
    }
}
