//! From a change in a crate to a component that is known to work: one round of `spliceway filter dev`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use spliceway_transcript::{Failure, load, run};

use super::build::{Build, Profile, build, manifest, publish};
use super::play::Upstreams;
use super::transcripts::Component;
use crate::config::FilterConfig;
use crate::filter::{Candidate, Engine};
use crate::words::count;

/// What every round does the same.
pub struct Rounds<'a> {
    pub engine: &'a Engine,
    /// Of the crate.
    pub directory: &'a Path,
    /// As the proxy has it: with the file where components are published.
    pub config: FilterConfig,
    pub tests: bool,
}

/// What is done in a round, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Build,
    Check,
    Test,
    Publish,
}

/// Why a round came to nothing.
pub enum Trouble {
    /// In words, with as many lines as it takes.
    Broken(Step, anyhow::Error),
    Failed(Vec<Failure>),
}

/// What is in a crate, as far as it matters to a build: changed where any of it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    files: Vec<(PathBuf, SystemTime, u64)>,
}

/// A crate with more files is watched as far as it goes.
const MOST_FILES: usize = 10_000;

impl Step {
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Check => "check",
            Self::Test => "test",
            Self::Publish => "publish",
        }
    }
}

impl Rounds<'_> {
    /// Builds, checks, tests and publishes, and tells what it has done; whether it is something else than before. What was published before stays where it is if any of
    /// it does not work.
    ///
    /// # Errors
    /// What does not work.
    pub fn round(&self, tell: &mut dyn FnMut(Step, Duration, &str)) -> Result<bool, Trouble> {
        let mut begun = Instant::now();
        let mut told = |step, text: &str| tell(step, std::mem::replace(&mut begun, Instant::now()).elapsed(), text);
        let broken = |step| move |error| Trouble::Broken(step, error);
        let file = self.build().map_err(broken(Step::Build))?;
        let size = fs::metadata(&file).map_or(0, |metadata| metadata.len());
        told(Step::Build, &format!("{} KiB", size >> 10));
        let candidate = self.check(&file).map_err(broken(Step::Check))?;
        told(Step::Check, "a proxy would load it");
        if let Some(text) = self.test(&candidate)? {
            told(Step::Test, &text);
        }
        let published = self.config.source.own_file();
        let published = published.map_err(|error| Trouble::Broken(Step::Publish, error.into()))?;
        let is_new = publish(&file, published).map_err(broken(Step::Publish))?;
        told(Step::Publish, &published.display().to_string());
        Ok(is_new)
    }

    /// Beside the component that others use: it is quickly made, and not so quick itself.
    fn build(&self) -> anyhow::Result<PathBuf> {
        let manifest = manifest(self.directory)?;
        let out = manifest
            .target_directory()
            .join("filters/dev")
            .join(format!("{}.wasm", manifest.name));
        let built = build(&Build {
            directory: self.directory,
            profile: Profile::Quick,
            out: Some(&out),
            aloud: false,
        })?;
        Ok(built.file)
    }

    fn check(&self, file: &Path) -> anyhow::Result<Candidate> {
        let candidate = Candidate::load(self.engine, file, &self.config.grants)?;
        candidate.trial(self.config.clone(), Arc::<Upstreams>::default())?;
        Ok(candidate)
    }

    /// `None` where there is nothing to test.
    fn test(&self, candidate: &Candidate) -> Result<Option<String>, Trouble> {
        let path = self.directory.join("transcripts");
        if !self.tests || !path.exists() {
            return Ok(None);
        }
        let wrong = |error| Trouble::Broken(Step::Test, anyhow::Error::new(error));
        let cases: Vec<_> = load(&path)
            .map_err(wrong)?
            .into_iter()
            .flat_map(|transcript| transcript.cases)
            .collect();
        let mut player = Component {
            candidate,
            config: self.config.clone(),
        };
        let (mut ways, mut failures) = (0, Vec::new());
        for case in &cases {
            match run(case, &mut player, fastrand::u64(..)) {
                Ok(played) => ways += played.variants,
                Err(failure) => failures.push(failure),
            }
        }
        match failures.is_empty() {
            true => Ok(Some(format!("{}, {}", count(cases.len(), "case"), count(ways, "way")))),
            false => Err(Trouble::Failed(failures)),
        }
    }
}

impl Sources {
    /// Of the crate in a directory, and without what cargo writes.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn of(directory: &Path, target_directory: &Path) -> anyhow::Result<Self> {
        let mut files = Vec::new();
        let mut left = vec![directory.to_owned()];
        while let Some(directory) = left.pop() {
            let entries = fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))?;
            for entry in entries.flatten() {
                let path = entry.path();
                let Ok(metadata) = fs::metadata(&path) else { continue };
                if metadata.is_dir() && is_watched(&path, target_directory) {
                    left.push(path);
                } else if metadata.is_file() && entry.file_name() != "Cargo.lock" && files.len() < MOST_FILES {
                    files.push((
                        path,
                        metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
                        metadata.len(),
                    ));
                }
            }
        }
        files.sort();
        Ok(Self { files })
    }

    pub fn paths(&self) -> Vec<PathBuf> {
        self.files.iter().map(|(path, ..)| path.clone()).collect()
    }

    /// The first file that is otherwise than before, and when the last of them was saved.
    pub fn since(&self, before: &Self) -> Option<(PathBuf, SystemTime)> {
        let changed = self.files.iter().filter(|file| !before.files.contains(file));
        let last = changed.clone().map(|(_, saved, _)| *saved).max();
        let gone = || {
            let gone = before.files.iter().find(|(path, ..)| !self.paths().contains(path));
            gone.map(|(path, ..)| (path.clone(), SystemTime::now()))
        };
        changed.map(|(path, ..)| path.clone()).next().zip(last).or_else(gone)
    }
}

/// The file of a crate that was saved after its component was built, if there is one: then the component is not what the
/// crate says. What is only for tests and readers does not count.
pub fn newer(directory: &Path, target_directory: &Path, component: &Path) -> Option<PathBuf> {
    let built = fs::metadata(component).and_then(|metadata| metadata.modified()).ok()?;
    let counts = |path: &Path| {
        let within = path.strip_prefix(directory).unwrap_or(path);
        let is_aside = ["transcripts", "tests", "benches", "examples"]
            .iter()
            .any(|aside| within.starts_with(aside));
        let is_of_tests = within.file_stem().is_some_and(|stem| stem == "tests");
        !is_aside && !is_of_tests && within.extension().is_none_or(|extension| extension != "md")
    };
    let sources = Sources::of(directory, target_directory).ok()?;
    let saved = sources
        .files
        .into_iter()
        .filter(|(path, saved, _)| *saved > built && counts(path));
    saved.max_by_key(|(_, saved, _)| *saved).map(|(path, ..)| path)
}

/// Not what cargo writes, and of what is hidden only cargo's configuration.
fn is_watched(directory: &Path, target_directory: &Path) -> bool {
    let name = directory.file_name().unwrap_or_default();
    let full = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let hidden = name.as_encoded_bytes().starts_with(b".") && name != ".cargo";
    full != target_directory && name != "target" && !hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_saved_after_the_component_was_built_is_newer() {
        let directory = tempfile::TempDir::new().unwrap();
        let at = |path: &str| directory.path().join(path);
        let target = at("target");
        let write = |path: &str, hour: u64| {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), "").unwrap();
            let time = SystemTime::UNIX_EPOCH + Duration::from_secs(3600 * hour);
            fs::File::open(at(path)).unwrap().set_modified(time).unwrap();
        };
        let newer = || newer(directory.path(), &target, &at("target/filters/a.wasm"));
        write("src/lib.rs", 3);
        assert_eq!(newer(), None);
        write("target/filters/a.wasm", 2);
        assert_eq!(newer(), Some(at("src/lib.rs")));
        write("target/filters/a.wasm", 4);
        for aside in ["README.md", "transcripts/a.toml", "src/tests.rs", "target/other"] {
            write(aside, 5);
        }
        assert_eq!(newer(), None);
    }

    #[test]
    fn what_cargo_writes_is_no_change_and_a_file_that_is_gone_is_one() {
        let directory = tempfile::TempDir::new().unwrap();
        let at = |path: &str| directory.path().join(path);
        for folder in ["src", "target/filters", ".git", ".cargo", "elsewhere"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("src/lib.rs"), "1").unwrap();
        let sources = || Sources::of(directory.path(), &at("elsewhere").canonicalize().unwrap()).unwrap();
        let before = sources();
        for written in ["Cargo.lock", "target/filters/a.wasm", ".git/HEAD", "elsewhere/b"] {
            fs::write(at(written), "").unwrap();
        }
        assert_eq!(sources(), before);
        assert_eq!(sources().since(&before), None);

        fs::write(at(".cargo/config.toml"), "").unwrap();
        let (changed, _) = sources().since(&before).unwrap();
        assert_eq!(changed, at(".cargo/config.toml"));

        let before = sources();
        fs::remove_file(at("src/lib.rs")).unwrap();
        let (changed, _) = sources().since(&before).unwrap();
        assert_eq!(changed, at("src/lib.rs"));
    }
}
