//! From a filter's crate to its component, by cargo.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, anyhow, bail, ensure};
use serde_json::Value;

/// What is built, and how.
pub struct Build<'a> {
    /// Where the crate's Cargo.toml is.
    pub directory: &'a Path,
    pub profile: Profile,
    /// Where the component goes; `None`: `target/filters/NAME.wasm` of the crate.
    pub out: Option<&'a Path>,
    /// What cargo says goes to standard error as it comes, or else it is only told where it fails.
    pub aloud: bool,
}

/// What the compiler takes its time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Small and fast: as the crate's own profile `filter` says.
    Filter,
    /// Compiled in no time: nothing is optimised across crates.
    Quick,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    pub name: String,
    pub file: PathBuf,
    /// What was there before was something else.
    pub is_new: bool,
}

/// What cargo knows of a crate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    pub name: String,
    /// Of its Cargo.toml.
    pub directory: PathBuf,
    target: String,
    target_directory: PathBuf,
    has_profile: bool,
}

/// There is nothing to build: another directory was meant.
#[derive(Debug, thiserror::Error)]
#[error(
    "there is no crate in {0}: `spliceway filter new NAME` makes one, `spliceway filter build DIRECTORY` builds another one"
)]
pub struct NoCrate(String);

const TARGET: &str = "wasm32-unknown-unknown";

/// The profile for [`Profile::Quick`], which no Cargo.toml has.
const QUICK: &str = "filter-quick";

/// How to compile for a target.
enum Toolchain {
    /// The cargo that is found first; it has the target's standard library.
    Own,
    /// Debian's, which makes the standard library from its sources; and where a linker for components is found.
    Debian { tools: OsString },
}

/// Builds a filter.
///
/// # Errors
/// There is no crate, no compiler for WebAssembly, or it does not compile.
pub fn build(wanted: &Build<'_>) -> anyhow::Result<Built> {
    let manifest = manifest(wanted.directory)?;
    let toolchain = toolchain(&manifest.target)?;
    let component = compile(wanted, &manifest, &toolchain)?;
    let file = match wanted.out {
        Some(out) => out.to_owned(),
        None => manifest.component(),
    };
    let is_new = publish(&component, &file)?;
    if !is_new {
        // It is as old as its content, and yet not older than the crate. Somebody else's file stays as it is.
        let _ = File::open(&file).and_then(|file| file.set_modified(SystemTime::now()));
    }
    Ok(Built {
        name: manifest.name,
        file,
        is_new,
    })
}

impl Manifest {
    /// Where its component goes.
    pub fn component(&self) -> PathBuf {
        self.target_directory
            .join("filters")
            .join(format!("{}.wasm", self.name))
    }

    /// Whether cargo has compiled it like that before, or at least what it depends on, which takes the longest.
    pub fn is_begun(&self, wanted: Profile) -> bool {
        let profile = match wanted {
            Profile::Filter if self.has_profile => "filter",
            Profile::Filter => "release",
            Profile::Quick => QUICK,
        };
        self.target_directory.join(&self.target).join(profile).is_dir()
    }

    /// Where cargo writes: whoever watches the crate must not look there.
    pub fn target_directory(&self) -> &Path {
        &self.target_directory
    }
}

/// What cargo knows of the crate in a directory.
///
/// # Errors
/// There is none, or cargo does not understand it.
pub fn manifest(directory: &Path) -> anyhow::Result<Manifest> {
    let path = directory.join("Cargo.toml");
    ensure!(path.is_file(), NoCrate(directory.display().to_string()));
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--no-deps", "--format-version=1", "--manifest-path"]);
    let output = cargo.arg(&path).stdin(Stdio::null()).output().map_err(no_cargo)?;
    ensure!(
        output.status.success(),
        "cargo does not understand {}:\n{}",
        path.display(),
        String::from_utf8_lossy(&output.stderr).trim_end()
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cargo describes the crate in no JSON")?;
    let path = path.canonicalize().unwrap_or(path);
    read_manifest(&metadata, &path)
}

fn read_manifest(metadata: &Value, path: &Path) -> anyhow::Result<Manifest> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_it = |package: &&Value| package["manifest_path"].as_str().map(Path::new) == Some(path);
    let Some(package) = packages.iter().find(is_it) else {
        bail!(
            "{} has no [package]: say which of the crates in it is to be built, as in `spliceway filter build filters/NAME`",
            path.display()
        );
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kinds = |target: &Value| target["crate_types"].as_array().cloned().unwrap_or_default();
    let is_component = package["targets"].as_array().is_some_and(|targets| {
        targets
            .iter()
            .any(|target| kinds(target).iter().any(|kind| kind == "cdylib"))
    });
    ensure!(
        is_component,
        "{} makes no component: under [lib] it needs crate-type = [\"cdylib\", \"rlib\"]",
        path.display()
    );
    let top = Path::new(metadata["workspace_root"].as_str().unwrap_or_default()).join("Cargo.toml");
    let top: toml::Table = fs::read_to_string(&top).unwrap_or_default().parse().unwrap_or_default();
    let profiles = top.get("profile").and_then(toml::Value::as_table);
    Ok(Manifest {
        name: text(&package["name"]),
        directory: path.parent().unwrap_or(path).to_owned(),
        target: package["metadata"]["spliceway"]["target"]
            .as_str()
            .unwrap_or(TARGET)
            .to_owned(),
        target_directory: text(&metadata["target_directory"]).into(),
        has_profile: profiles.is_some_and(|profiles| profiles.contains_key("filter")),
    })
}

fn no_cargo(error: std::io::Error) -> anyhow::Error {
    anyhow!(
        "cannot run cargo ({error}): filters in Rust are built with it; https://rustup.rs installs it, with the compiler"
    )
}

/// As `scripts/wasm-target` of the project.
fn toolchain(target: &str) -> anyhow::Result<Toolchain> {
    if has_standard_library(target) {
        return Ok(Toolchain::Own);
    }
    let sources = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";
    let sources = debian_sysroot()
        .map(|sysroot| sysroot.join("lib/rustlib/src/rust/library/std/Cargo.toml"))
        .unwrap_or_else(|| sources.into());
    if target == TARGET && Path::new("/usr/bin/cargo").exists() && sources.exists() {
        // Debian ships no linker for components: rustup's toolchain has one, and it links for either.
        if let Some(tools) = rustup_tools() {
            return Ok(Toolchain::Debian { tools });
        }
    }
    bail!(
        "the compiler cannot make WebAssembly: it has no standard library for {target}. With rustup, this installs it:\n    \
         rustup target add {target}\nOn Debian, as root, so does this for wasm32-unknown-unknown (it replaces Debian's own \
         rustc):\n    apt-get install rustc-web cargo-web rust-web-src"
    )
}

fn has_standard_library(target: &str) -> bool {
    let library = printed("rustc", &["--print", "target-libdir", "--target", target]);
    library.is_some_and(|library| Path::new(&library).is_dir())
}

fn debian_sysroot() -> Option<PathBuf> {
    printed("/usr/bin/rustc", &["--print", "sysroot"]).map(PathBuf::from)
}

fn rustup_tools() -> Option<OsString> {
    let sysroot = PathBuf::from(printed("rustc", &["--print", "sysroot"])?);
    let version = printed("rustc", &["-vV"])?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "))?;
    let tools = sysroot.join("lib/rustlib").join(host).join("bin");
    let mut path = vec![tools.join("gcc-ld"), tools];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    std::env::join_paths(path).ok()
}

fn printed(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let printed = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| printed.trim().to_owned())
}

/// Where cargo has put the component.
fn compile(wanted: &Build<'_>, manifest: &Manifest, toolchain: &Toolchain) -> anyhow::Result<PathBuf> {
    let mut cargo = match toolchain {
        Toolchain::Own => Command::new("cargo"),
        Toolchain::Debian { tools } => {
            let mut cargo = Command::new("/usr/bin/cargo");
            cargo.arg("-Zbuild-std=std,panic_abort");
            cargo
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTC", "/usr/bin/rustc")
                .env("PATH", tools);
            cargo
        }
    };
    cargo
        .args([
            "build",
            "--lib",
            "--target",
            &manifest.target,
            "--package",
            &manifest.name,
        ])
        .args(profile(wanted.profile, manifest))
        .args(["--message-format", "json-render-diagnostics"])
        // From there, so that it finds the crate's .cargo/config.toml.
        .current_dir(&manifest.directory)
        // A crate that was not made by `new` may not name the linker.
        .env(
            format!("CARGO_TARGET_{}_LINKER", shouted(&manifest.target)),
            linker(&manifest.target),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    if !wanted.aloud {
        cargo.stderr(Stdio::piped());
    }
    let mut child = cargo.spawn().map_err(no_cargo)?;
    let said = child
        .stderr
        .take()
        .map(|stderr| std::thread::spawn(move || read_all(stderr)));
    let component = child
        .stdout
        .take()
        .and_then(|messages| component(manifest, BufReader::new(messages)));
    let status = child.wait().context("cannot wait for cargo")?;
    let said = said.and_then(|said| said.join().ok()).unwrap_or_default();
    if !status.success() {
        let said = said.trim_end();
        let lines = if said.is_empty() {
            String::new()
        } else {
            format!("{said}\n")
        };
        bail!("{lines}{} does not compile: cargo has said why above", manifest.name);
    }
    component.with_context(|| format!("cargo has built {}, and no component of it", manifest.name))
}

fn read_all(mut from: impl std::io::Read) -> String {
    let mut bytes = Vec::new();
    let _ = from.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A target with a linker of its own, such as wasm32-wasip2, has one for components.
fn linker(target: &str) -> &'static str {
    match target {
        "wasm32-wasip1" => "rust-lld",
        _ => "wasm-component-ld",
    }
}

fn shouted(target: &str) -> String {
    target.to_ascii_uppercase().replace('-', "_")
}

fn profile(wanted: Profile, manifest: &Manifest) -> Vec<String> {
    let config = |setting: &str| ["--config".to_owned(), format!("profile.{QUICK}.{setting}")];
    let mut arguments = Vec::new();
    match wanted {
        Profile::Filter if manifest.has_profile => arguments.extend(["--profile".to_owned(), "filter".to_owned()]),
        Profile::Filter => arguments.push("--release".to_owned()),
        Profile::Quick => {
            for setting in [
                "inherits=\"dev\"",
                "opt-level=1",
                "debug=\"line-tables-only\"",
                "panic=\"abort\"",
                "incremental=true",
                "package.\"*\".opt-level=\"s\"",
                "package.\"*\".debug=false",
            ] {
                arguments.extend(config(setting));
            }
            arguments.extend(["--profile".to_owned(), QUICK.to_owned()]);
        }
    }
    arguments
}

/// The file that cargo says it has made of the crate itself.
fn component(manifest: &Manifest, messages: impl BufRead) -> Option<PathBuf> {
    let own = manifest.directory.join("Cargo.toml");
    let mut component = None;
    for line in messages.lines().map_while(Result::ok) {
        let Ok(message) = serde_json::from_str::<Value>(&line) else {
            continue;
        };
        let is_own = message["manifest_path"].as_str().map(Path::new) == Some(own.as_path());
        if message["reason"] == "compiler-artifact" && is_own {
            let files = message["filenames"].as_array().map(Vec::as_slice).unwrap_or_default();
            let mut files = files.iter().filter_map(Value::as_str).map(PathBuf::from);
            let is_wasm = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "wasm");
            component = files.find(is_wasm).or(component);
        }
    }
    component
}

/// Puts a component where a proxy may be watching: it sees the old one or the new one, whole, and nothing where nothing
/// changed. Tells whether something did.
///
/// # Errors
/// It cannot be read or written.
pub fn publish(component: &Path, file: &Path) -> anyhow::Result<bool> {
    let bytes = fs::read(component).with_context(|| format!("cannot read {}", component.display()))?;
    if fs::read(file).is_ok_and(|there| there == bytes) {
        return Ok(false);
    }
    let failed = || format!("cannot write {}", file.display());
    let directory = match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(directory).with_context(failed)?;
    let mut new = tempfile::NamedTempFile::new_in(directory).with_context(failed)?;
    new.write_all(&bytes).with_context(failed)?;
    // As any other file: a proxy may run as somebody else.
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    new.as_file().set_permissions(mode).with_context(failed)?;
    new.persist(file).with_context(failed)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(crate_type: &str, metadata: Value) -> Value {
        serde_json::json!({
            "packages": [{
                "name": "guard",
                "manifest_path": "/crates/guard/Cargo.toml",
                "targets": [{ "crate_types": [crate_type] }],
                "metadata": metadata,
            }],
            "target_directory": "/crates/target",
            "workspace_root": "/crates/nowhere",
        })
    }

    #[test]
    fn a_crate_may_name_its_target() {
        let read = |value| read_manifest(&metadata("cdylib", value), Path::new("/crates/guard/Cargo.toml")).unwrap();
        let plain = read(Value::Null);
        assert_eq!(plain.target, TARGET);
        assert_eq!(plain.component(), Path::new("/crates/target/filters/guard.wasm"));
        let wasi = read(serde_json::json!({ "spliceway": { "target": "wasm32-wasip2" } }));
        assert_eq!(wasi.target, "wasm32-wasip2");
    }

    #[test]
    fn what_makes_no_component_is_said_before_it_is_built() {
        let read = |kind, path: &str| {
            let error = read_manifest(&metadata(kind, Value::Null), Path::new(path)).unwrap_err();
            error.to_string()
        };
        assert!(read("rlib", "/crates/guard/Cargo.toml").contains("crate-type"));
        assert!(read("cdylib", "/crates/Cargo.toml").contains("has no [package]"));
    }

    #[test]
    fn the_component_is_the_crate_s_own_and_not_a_dependency_s() {
        let manifest = read_manifest(&metadata("cdylib", Value::Null), Path::new("/crates/guard/Cargo.toml")).unwrap();
        let artifact = |path: &str, files: &[&str]| {
            let message = serde_json::json!({
                "reason": "compiler-artifact", "manifest_path": path, "filenames": files,
            });
            message.to_string()
        };
        let messages = [
            artifact("/other/Cargo.toml", &["/other.wasm"]),
            "no JSON".to_owned(),
            artifact("/crates/guard/Cargo.toml", &["/guard.wasm", "/libguard.rlib"]),
        ];
        let found = component(&manifest, messages.join("\n").as_bytes());
        assert_eq!(found, Some("/guard.wasm".into()));
    }

    #[test]
    fn a_profile_is_begun_when_cargo_has_a_directory_for_it() {
        let directory = tempfile::TempDir::new().unwrap();
        let mut metadata = metadata("cdylib", Value::Null);
        metadata["target_directory"] = directory.path().to_str().into();
        let manifest = read_manifest(&metadata, Path::new("/crates/guard/Cargo.toml")).unwrap();
        assert!(!manifest.is_begun(Profile::Quick));
        fs::create_dir_all(directory.path().join(TARGET).join("filter-quick")).unwrap();
        assert!(manifest.is_begun(Profile::Quick) && !manifest.is_begun(Profile::Filter));
    }

    #[test]
    fn nothing_is_published_where_nothing_changed() {
        let directory = tempfile::TempDir::new().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("new/to"));
        fs::write(&from, "1").unwrap();
        assert!(publish(&from, &to).unwrap());
        assert!(!publish(&from, &to).unwrap());
        fs::write(&from, "2").unwrap();
        assert!(publish(&from, &to).unwrap());
        assert_eq!(fs::read_to_string(to).unwrap(), "2");
    }
}
