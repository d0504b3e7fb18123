//! A certificate and its key, and other PEM files. Nothing is read from them here.

use std::path::{Path, PathBuf};

use super::given::{apart, path};
use crate::config::diagnostics::{Problems, Reported};
use crate::config::reader::Given;
use crate::config::{CertificateFiles, file};

pub fn certificate(
    given: Given<file::Certificate>,
    directory: &Path,
    problems: &mut Problems,
) -> Result<CertificateFiles, Reported> {
    let (typed, span) = apart(given.0?);
    match typed {
        file::Certificate::Short(typed) => {
            let file = path(&typed, span, PEM, directory, problems)?;
            Ok(CertificateFiles {
                chain: file.clone(),
                key: file,
            })
        }
        file::Certificate::Long(typed) => {
            let chain = pem(typed.chain, directory, problems);
            let key = pem(typed.key, directory, problems);
            Ok(CertificateFiles {
                chain: chain?,
                key: key?,
            })
        }
    }
}

pub fn pem(given: Given<String>, directory: &Path, problems: &mut Problems) -> Result<PathBuf, Reported> {
    let (typed, span) = apart(given.0?);
    path(&typed, span, PEM, directory, problems)
}

const PEM: &str = "a path, as in \"a.pem\"";
