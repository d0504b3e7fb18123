//! Captures, as tshark reads them: another program's idea of what is in a file.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::command::{Finished, lasting, run};

/// Of a program that reads a file of some megabytes.
const SOON: Duration = Duration::from_secs(60);

/// Checksums are not believed, but checked.
const CHECKED: [&str; 4] = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];

/// The file of a capture.
pub struct Captured(pub PathBuf);

/// The files in a directory of captures, in the order in which they were written.
pub fn captured(directory: &Path) -> Vec<Captured> {
    let entries = fs::read_dir(directory).expect("a directory of captures");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files.into_iter().map(Captured).collect()
}

impl Captured {
    /// What the connecting side of that TCP stream has said, and the other one.
    #[track_caller]
    pub fn follow(&self, stream: usize) -> [Vec<u8>; 2] {
        let followed = self.tshark(&["-q", "-z", &format!("follow,tcp,raw,{stream}")]);
        let mut said = [Vec::new(), Vec::new()];
        for line in followed.lines() {
            let (side, hex) = match line.strip_prefix('\t') {
                Some(hex) => (1, hex),
                None => (0, line),
            };
            if !hex.is_empty() && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                let digits = hex.as_bytes().chunks(2);
                said[side].extend(digits.map(|pair| {
                    let pair = str::from_utf8(pair).expect("digits");
                    u8::from_str_radix(pair, 16).expect("two digits")
                }));
            }
        }
        said
    }

    /// Those fields of the packets that the filter lets through, as Wireshark calls them.
    #[track_caller]
    pub fn fields(&self, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
        let mut arguments = vec!["-T", "fields", "-E", "separator=|", "-E", "aggregator=;"];
        if !filter.is_empty() {
            arguments.extend(["-Y", filter]);
        }
        arguments.extend(fields.iter().flat_map(|field| ["-e", field]));
        let lines = self.tshark(&arguments);
        lines
            .lines()
            .map(|line| line.split('|').map(str::to_owned).collect())
            .collect()
    }

    /// TCP streams on the interface of that name.
    #[track_caller]
    pub fn streams(&self, interface: &str) -> Vec<usize> {
        let found = self.fields(&format!("frame.interface_name == \"{interface}\""), &["tcp.stream"]);
        let found: BTreeSet<usize> = found
            .iter()
            .map(|fields| fields[0].parse().expect("every packet is TCP"))
            .collect();
        found.into_iter().collect()
    }

    /// The only stream on that interface: what was said there, by either side.
    #[track_caller]
    pub fn said(&self, interface: &str) -> [Vec<u8>; 2] {
        let streams = self.streams(interface);
        let [stream] = streams.as_slice() else {
            panic!("{interface}: {streams:?}")
        };
        self.follow(*stream)
    }

    /// There is nothing in it that Wireshark would complain of, but for these.
    #[track_caller]
    pub fn is_sound(&self, but_for: &[&str]) {
        let complaints = self.fields(
            "_ws.malformed || _ws.expert.severity >= \"Warning\" || tcp.checksum.status == \"Bad\" || ip.checksum.status == \"Bad\"",
            &["frame.number", "_ws.expert.message", "_ws.col.Info"],
        );
        let complaints = complaints
            .iter()
            .filter(|fields| !but_for.iter().any(|known| fields[1].contains(known)));
        let complaints: Vec<_> = complaints.collect();
        assert!(complaints.is_empty(), "{}: {complaints:#?}", self.0.display());
    }

    /// What capinfos has to say.
    #[track_caller]
    pub fn infos(&self) -> String {
        run(lasting("capinfos").arg(&self.0), SOON).success()
    }

    #[track_caller]
    fn tshark(&self, arguments: &[&str]) -> String {
        let mut command = lasting("tshark");
        command.arg("-r").arg(&self.0).args(CHECKED).args(arguments);
        let Finished { status, stdout, stderr } = run(&mut command, SOON);
        // As root it says that this is dangerous.
        let complaints: Vec<_> = stderr
            .lines()
            .filter(|line| !line.starts_with("Running as user"))
            .collect();
        assert!(
            status.success() && complaints.is_empty(),
            "{command:?}: {status} {complaints:?}"
        );
        stdout
    }
}
