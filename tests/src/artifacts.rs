//! What the tests run, found beside the test itself: `target/debug/deps/test` knows where `target` is.

use std::path::{Path, PathBuf};

/// The proxy: `SPLICEWAY_BIN`, or the one built with the same profile as this test.
#[track_caller]
pub fn binary() -> PathBuf {
    let path = match std::env::var_os("SPLICEWAY_BIN") {
        Some(path) => PathBuf::from(path),
        None => profile_folder().join("spliceway"),
    };
    assert!(
        path.exists(),
        "{} is missing: `cargo build -p spliceway` makes it, `make test` makes everything",
        path.display()
    );
    path
}

/// A filter of the project, such as `redis-guard`.
#[track_caller]
pub fn filter(name: &str) -> PathBuf {
    component("filters", name)
}

/// A filter that exists for a test (`tests/guests`), such as `misbehave`.
#[track_caller]
pub fn guest(name: &str) -> PathBuf {
    component("guests", name)
}

/// The filter of `tests/languages`, built from that language: `c`, `js` or `python`.
#[track_caller]
pub fn language(name: &str) -> PathBuf {
    component("languages", name)
}

/// What `make tools` has installed.
#[track_caller]
pub fn tool(path: &str) -> PathBuf {
    let tool = workspace().join("target/tools").join(path);
    assert!(tool.exists(), "{} is missing: `make tools` installs it", tool.display());
    tool
}

/// Every filter that `make filters` has built, by name.
#[track_caller]
pub fn filters() -> Vec<(String, PathBuf)> {
    let folder = filter("redis-guard").with_file_name("");
    let files = std::fs::read_dir(folder).expect("a folder that has a file can be read");
    let paths = files.flatten().map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path.clone())))
        .collect()
}

/// The work tree.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the crate lies in the workspace")
}

#[track_caller]
fn component(folder: &str, name: &str) -> PathBuf {
    let file = format!("{name}.wasm");
    let beside = profile_folder().parent().map(|target| target.join(folder).join(&file));
    let usual = workspace().join("target").join(folder).join(&file);
    beside
        .filter(|path| path.exists())
        .or_else(|| usual.exists().then(|| usual.clone()))
        .unwrap_or_else(|| panic!("{} is missing: `make filters languages` builds it", usual.display()))
}

fn profile_folder() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows its own file");
    // target/debug/deps/relay-0123 for a test, target/debug/name for a doctest's binary or a program.
    test.ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .expect("a test lies in a folder")
        .to_owned()
}
