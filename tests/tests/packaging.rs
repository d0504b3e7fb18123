//! What is installed: a Debian package and an image, made of the program that the other tests run.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use spliceway_tests::command::{Finished, lasting, run};
use spliceway_tests::{artifacts, is_root, skip};
use tempfile::TempDir;

/// The program of a debug build has a hundred megabytes that are to be stripped, copied and compressed.
const PATIENCE: Duration = Duration::from_secs(120);

const CONFIG: &str = "etc/spliceway/spliceway.toml";

#[test]
fn the_debian_package_has_what_it_takes_to_run() {
    let folder = TempDir::new().expect("a temporary folder");
    let package = build_deb(folder.path());
    let root = folder.path().join("root");
    shell(&format!("dpkg-deb --extract {} {}", package.display(), root.display())).success();
    for file in [
        "usr/bin/spliceway",
        "lib/systemd/system/spliceway.service",
        CONFIG,
        "usr/share/man/man1/spliceway.1.gz",
        "usr/share/man/man1/spliceway-upgrade.1.gz",
        "usr/share/bash-completion/completions/spliceway",
        "usr/share/zsh/vendor-completions/_spliceway",
        "usr/share/fish/vendor_completions.d/spliceway.fish",
        "usr/share/doc/spliceway/copyright",
        "usr/share/doc/spliceway/changelog.gz",
        "usr/share/doc/spliceway/changelog.Debian.gz",
        "usr/share/doc/spliceway/examples/spliceway.socket",
    ] {
        assert!(root.join(file).is_file(), "{file} is missing");
    }
    let program = root.join("usr/bin/spliceway").display().to_string();
    let version = shell(&format!("{program} --version")).success();
    let field = |name: &str| shell(&format!("dpkg-deb --field {} {name}", package.display())).success();
    assert_eq!(
        field("Version").trim(),
        format!("{}-1", version.trim().replace("spliceway ", ""))
    );
    let said = shell(&format!("{program} check --config {}", root.join(CONFIG).display())).success();
    assert!(said.contains("is valid"), "{said}");
    // Passwords may stand in it some day.
    let mode = fs::metadata(root.join(CONFIG))
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o640);
    let unit = fs::read_to_string(root.join("lib/systemd/system/spliceway.service")).expect("it is there");
    assert!(
        unit.contains(&format!("ExecStart=/usr/bin/spliceway run --config /{CONFIG}")),
        "{unit}"
    );
    shell(&format!(
        "cd {}; md5sum --quiet --check <(dpkg-deb --ctrl-tarfile {} | tar -xO ./md5sums)",
        root.display(),
        package.display()
    ))
    .success();
    let conffiles = shell(&format!(
        "dpkg-deb --ctrl-tarfile {} | tar -xO ./conffiles",
        package.display()
    ))
    .success();
    assert_eq!(conffiles.trim(), format!("/{CONFIG}"));
    // Here, as making a package takes its time.
    if shell("command -v lintian").code() != Some(0) {
        skip!("lintian is not installed: nothing else has looked at the package");
    }
    let said = shell(&format!("lintian --allow-root --fail-on error {}", package.display()));
    assert!(said.status.success(), "{}{}", said.stdout, said.stderr);
}

/// cargo-deb reads this list, and nobody runs it here.
#[test]
fn cargo_deb_finds_the_files_that_are_not_built() {
    let host = artifacts::workspace().join("host");
    let manifest = fs::read_to_string(host.join("Cargo.toml")).expect("a manifest");
    let (_, list) = manifest.split_once("assets = [").expect("a list");
    let (list, _) = list.split_once("\n]").expect("its end");
    let sources: Vec<&str> = list.lines().filter_map(|line| line.split('"').nth(1)).collect();
    assert!(sources.len() >= 8, "{sources:?}");
    for source in sources.iter().filter(|source| !source.contains("target/")) {
        assert!(host.join(source).is_file(), "{source} is missing");
    }
}

#[test]
fn an_image_has_the_program_and_runs_it() {
    if !is_root() || shell("command -v buildah").code() != Some(0) {
        skip!("buildah is not installed, or this is not root");
    }
    let folder = TempDir::new().expect("a temporary folder");
    let place = folder.path().display();
    let scripts = artifacts::workspace().join("packaging");
    let scripts = scripts.display();
    let program = artifacts::binary();
    shell(&format!("{scripts}/image-root {} {place}/image", program.display())).success();
    let storage = format!("--root {place}/storage --runroot {place}/run --storage-driver vfs");
    let built = shell(&format!(
        "buildah {storage} bud --isolation chroot --file {scripts}/Dockerfile --tag spliceway {place}/image"
    ));
    if built.stderr.contains("permission denied") || built.stderr.contains("operation not permitted") {
        skip!("no image can be built here: {}", built.stderr);
    }
    built.success();
    let container = shell(&format!("buildah {storage} from spliceway")).success();
    let container = container.trim();
    let mounted = shell(&format!("buildah {storage} mount {container}")).success();
    assert!(Path::new(mounted.trim()).join("usr/bin/spliceway").is_file());
    // Nothing of it comes from outside: not even the loader.
    let said = shell(&format!(
        "buildah {storage} run --isolation chroot --user 65534:65534 {container} /usr/bin/spliceway --version"
    ));
    let version = shell(&format!("{} --version", program.display())).success();
    assert_eq!(said.success(), version);
    let config = shell(&format!("buildah {storage} inspect --type image spliceway")).success();
    assert!(config.contains("\"User\": \"65534:65534\""), "{config}");
    shell(&format!("buildah {storage} umount {container}")).success();
}

#[track_caller]
fn build_deb(folder: &Path) -> PathBuf {
    let script = artifacts::workspace().join("packaging/build-deb");
    let command = format!(
        "COMPRESSION=gzip {} {} {}",
        script.display(),
        artifacts::binary().display(),
        folder.display()
    );
    let said = shell(&command).success();
    said.trim().into()
}

#[track_caller]
fn shell(command: &str) -> Finished {
    run(lasting("bash").args(["-c", command]), PATIENCE)
}
