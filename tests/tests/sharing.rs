//! Filters go from one team to another: through a registry, signed, and never worse than what serves already.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use spliceway_tests::artifacts::filter;
use spliceway_tests::bytes::{digest, variant};
use spliceway_tests::certificates::Authority;
use spliceway_tests::command::{Finished, lasting, run};
use spliceway_tests::registry::{Breaker, Registry};
use spliceway_tests::{Client, Proxy, Upstream, is_root, skip, spliceway};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);

#[test]
fn what_is_pushed_is_pulled_and_listed_and_serves() {
    let registry = Registry::start();
    let bench = Bench::new();
    let reference = bench.reference(&registry, "1.2");
    let pushed = bench.push(&registry, "1.2", 0, &[]);
    assert_eq!(pushed["signed"], false);
    let again = bench.push(&registry, "latest", 0, &["--version", "1.2"]);
    assert_eq!(
        again["manifest"], pushed["manifest"],
        "the same file and labels are the same manifest"
    );

    let file = bench.path("pulled.wasm");
    let pulled = json_of(&["pull", &reference, "-o", text(&file)]);
    assert_eq!(pulled["manifest"], pushed["manifest"]);
    assert_eq!(fs::read(&file).expect("what was pulled"), bench.component(0));

    let listed = json_of(&["list", &format!("oci://{}/team/redis-guard", registry.address())]);
    let tags: Vec<&str> = listed
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["tag"].as_str())
        .collect();
    assert_eq!(tags, ["latest", "1.2"]);
    for one in [&listed[0], &listed[1]] {
        assert_eq!((&one["contract"], &one["version"]), (&json!("0.1.0"), &json!("1.2")));
        assert_eq!((&one["signed_by"], &one["digest"]), (&json!([]), &pushed["manifest"]));
    }

    let proxy = bench.proxy(&reference, "", "").start();
    let came = proxy.wait_for("filter pulled", |event| event.text("filter") == "guard");
    assert_eq!(came.text("manifest"), pushed["manifest"]);
    bench.guards(&proxy);
}

/// Against CNCF's "Wasm OCI artifact", and what oci-wasm 0.6 (wkg) writes and insists on: `application/vnd.wasm.config.v0+json`,
/// one layer, `architecture`, `os`, `layerDigests`, `component`.
#[test]
fn the_layout_is_the_one_that_wkg_knows() {
    let registry = Registry::start();
    let bench = Bench::new();
    let labels = [
        "--description",
        "Refuses commands",
        "--licenses",
        "Apache-2.0",
        "--source",
        "https://example.org/guard",
    ];
    bench.push(&registry, "1.2", 0, &labels);
    let manifest = registry.get("team/redis-guard", "manifests/1.2");
    let component = bench.component(0);
    let layer = format!("sha256:{}", digest(&component));
    assert_eq!(manifest["schemaVersion"], 2);
    assert_eq!(manifest["mediaType"], "application/vnd.oci.image.manifest.v1+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.wasm.config.v0+json");
    assert_eq!(
        manifest["layers"],
        json!([{ "mediaType": "application/wasm", "digest": layer, "size": component.len() }])
    );
    let annotations = &manifest["annotations"];
    for (key, value) in [("title", "redis-guard"), ("version", "1.2"), ("licenses", "Apache-2.0")] {
        assert_eq!(annotations[format!("org.opencontainers.image.{key}")], value);
    }
    assert_eq!(annotations["dev.spliceway.filter.contract"], "0.1.0");

    let config = manifest["config"]["digest"].as_str().expect("a digest");
    let config = registry.get("team/redis-guard", &format!("blobs/{config}"));
    assert_eq!(
        (&config["architecture"], &config["os"]),
        (&json!("wasm"), &json!("wasip2"))
    );
    assert_eq!(config["layerDigests"], json!([layer]));
    let created = config["created"].as_str().expect("a date");
    assert!(created.ends_with('Z') && created.len() >= 20, "RFC 3339: {created}");
    let names = |kind: &str| config["component"][kind].as_array().expect("names").clone();
    assert!(
        names("exports").contains(&json!("spliceway:filter/inspector@0.1.0")),
        "{config}"
    );
    assert!(
        names("imports").contains(&json!("spliceway:filter/connection@0.1.0")),
        "{config}"
    );
}

/// Word for word what wkg 0.16.1 wrote of a filter, but for the digests.
#[test]
fn what_wkg_pushes_serves() {
    let registry = Registry::start();
    let bench = Bench::new();
    let component = bench.component(0);
    let layer = registry.put_blob("team/redis-guard", &component);
    let config = json!({
        "created": "2026-11-22T19:00:00.123456789Z",
        "author": null,
        "architecture": "wasm",
        "os": "wasip2",
        "layerDigests": [layer],
        "component": {
            "exports": ["spliceway:filter/lifecycle@0.1.0", "spliceway:filter/inspector@0.1.0"],
            "imports": [
                "spliceway:filter/types@0.1.0",
                "spliceway:filter/connection@0.1.0",
                "spliceway:filter/log@0.1.0",
                "spliceway:filter/metrics@0.1.0",
            ],
            "target": null,
        },
    });
    let config = config.to_string();
    assert_eq!(config.len(), 436);
    let manifest = json!({
        "config": {
            "digest": registry.put_blob("team/redis-guard", config.as_bytes()),
            "mediaType": "application/vnd.wasm.config.v0+json",
            "size": config.len(),
        },
        "layers": [{
            "annotations": { "org.opencontainers.image.title": "redis-guard.wasm" },
            "digest": layer,
            "mediaType": "application/wasm",
            "size": component.len(),
        }],
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "schemaVersion": 2,
    });
    registry.put_manifest("team/redis-guard", "1", &manifest);
    let proxy = bench.proxy(&bench.reference(&registry, "1"), "", "").start();
    bench.guards(&proxy);
    let listed = json_of(&["list", &format!("oci://{}/team/redis-guard", registry.address())]);
    assert_eq!(listed[0]["contract"], Value::Null, "whoever pushed it did not say");
}

/// With the program itself, where somebody has built it: `cargo install wkg` takes minutes.
#[test]
fn wkg_pulls_what_we_push_and_we_pull_what_it_pushes() {
    let wkg = std::env::var_os("WKG").unwrap_or_else(|| "wkg".into());
    let known = Command::new(&wkg).arg("--version").stdin(Stdio::null()).output();
    if !known.is_ok_and(|answer| answer.status.success()) {
        skip!("there is no {}: WKG=FILE says where it is", wkg.display());
    }
    let registry = Registry::start();
    let bench = Bench::new();
    let (host, file) = (registry.address(), bench.path("pulled.wasm"));
    let oci = |arguments: &[&str]| run(lasting(&wkg).arg("oci").args(arguments), SOON).success();

    bench.push(&registry, "ours", 0, &[]);
    let ours = format!("{host}/team/redis-guard:ours");
    oci(&["pull", "--insecure", &host, &ours, "-o", text(&file)]);
    assert_eq!(fs::read(&file).expect("what was pulled"), bench.component(0));

    let theirs = format!("{host}/team/redis-guard:theirs");
    oci(&["push", "--insecure", &host, &theirs, text(&bench.file(1))]);
    let reference = bench.reference(&registry, "theirs");
    json_of(&["pull", &reference, "-o", text(&file)]);
    assert_eq!(fs::read(&file).expect("what was pulled"), bench.component(1));
    bench.guards(&bench.proxy(&reference, "", "").start());
}

#[test]
fn a_tag_that_moves_moves_those_who_ask_and_nobody_else() {
    let registry = Registry::start();
    let bench = Bench::new();
    let first = bench.push(&registry, "1", 0, &[]);
    let tag = bench.reference(&registry, "1");
    let pinned = first["reference"].as_str().expect("a reference").to_owned();
    let polls = bench.proxy(&tag, "pull = { every = \"1s\" }", "").start();
    let asks = bench.proxy(&tag, "pull = \"always\"", "").start();
    let rests = bench.proxy(&tag, "", "").start();
    let is_pinned = bench.proxy(&pinned, "", "").start();

    let second = bench.push(&registry, "1", 1, &[]);
    polls.published("guard", 2);
    let came = polls.wait_for("filter pulled", |event| event.text("manifest") == second["manifest"]);
    assert_eq!(came.text("origin"), "Registry");
    for proxy in [&asks, &rests, &is_pinned] {
        assert_eq!(proxy.logged("filter published").len(), 1, "nobody asked");
        proxy.signal(Signal::HUP);
    }
    asks.published("guard", 2);
    drop((asks, rests, is_pinned));

    // The cache remembers what it meant when it was last asked: by the one that polls.
    let rests = bench.proxy(&tag, "", "").start();
    let came = rests.wait_for("filter pulled", |_| true);
    assert_eq!(
        (came.text("origin"), came.text("manifest")),
        ("Cache", second["manifest"].as_str().expect("a digest"))
    );
    let is_pinned = bench.proxy(&pinned, "", "").start();
    let came = is_pinned.wait_for("filter pulled", |_| true);
    assert_eq!(came.text("manifest"), first["manifest"]);
    bench.guards(&is_pinned);
}

#[test]
fn a_layer_that_was_changed_in_the_registry_is_not_loaded() {
    let registry = Registry::start();
    let bench = Bench::new();
    bench.push(&registry, "1", 0, &[]);
    let proxy = bench
        .proxy(&bench.reference(&registry, "1"), "pull = { every = \"1s\" }", "")
        .start();
    let pushed = bench.push(&registry, "2", 1, &[]);
    let blob = registry.blob(pushed["digest"].as_str().expect("a digest"));
    let mut bytes = fs::read(&blob).expect("a blob of the registry's");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&blob, &bytes).expect("a blob of the registry's");

    // The tag of the running one moves there: a manifest is what its tag says, and its layer is not.
    let moved = registry.get("team/redis-guard", "manifests/2");
    registry.put_manifest("team/redis-guard", "1", &moved);
    let said = proxy.wait_for("filter not pulled", |_| true);
    assert!(
        said.text("error")
            .contains("it has been changed on its way, or in the registry"),
        "{said}"
    );
    assert_eq!(said.number("generation"), 1, "the one that still serves");
    bench.guards(&proxy);

    let finished = filter_command(&[
        "pull",
        &bench.reference(&registry, "2"),
        "-o",
        text(&bench.path("x.wasm")),
    ]);
    assert_eq!(finished.code(), Some(1));
    assert!(
        finished.stderr.contains("was expected to be sha256:"),
        "{}",
        finished.stderr
    );
    assert!(!bench.path("x.wasm").exists());
}

#[test]
fn where_keys_are_set_only_what_they_have_signed_loads() {
    let registry = Registry::start();
    let bench = Bench::new();
    let (ours, theirs) = (bench.key("ours"), bench.key("theirs"));
    let trust = |keys: &[&str]| {
        let keys = keys
            .iter()
            .map(|key| format!("\"{key}\""))
            .collect::<Vec<_>>()
            .join(", ");
        format!(
            "[[trust]]\nrepository = \"{}/team/\"\nkeys = [{keys}]",
            registry.address()
        )
    };
    bench.push(&registry, "unsigned", 0, &[]);
    bench.push(&registry, "theirs", 0, &["--sign", &theirs.secret]);
    bench.push(&registry, "ours", 0, &["--sign", &ours.secret]);
    let refused = |tag: &str, keys: &[&str]| {
        let finished = bench.proxy(&bench.reference(&registry, tag), "", &trust(keys)).fail();
        assert_eq!(finished.code(), Some(1), "{}", finished.stderr);
        finished.stderr
    };
    let serves = |tag: &str, keys: &[&str], by: &str| {
        let proxy = bench
            .proxy(&bench.reference(&registry, tag), "pull = \"always\"", &trust(keys))
            .start();
        let came = proxy.wait_for("filter pulled", |_| true);
        assert_eq!(came.text("signed_by"), by);
        bench.guards(&proxy);
    };
    serves("ours", &[&ours.public], &ours.id);
    serves("ours", &[&theirs.public, &ours.public], &ours.id);
    let said = refused("ours", &[&theirs.public]);
    for part in ["signed by another key", &ours.id, &theirs.id, "[[trust]]"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    bench.push(&registry, "unsigned", 7, &[]);
    let said = refused("unsigned", &[&ours.public]);
    for part in ["it is not signed", &ours.id, "spliceway filter sign oci://"] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    // A key that another file names, which is read each time.
    fs::copy(bench.path("ours.pub"), bench.path("team.pub")).expect("a file of the test's");
    serves("ours", &[text(&bench.path("team.pub"))], &ours.id);
    fs::write(bench.path("team.pub"), "").expect("a file of the test's");
    assert!(refused("ours", &[text(&bench.path("team.pub"))]).contains("team.pub"));

    // Elsewhere nobody asks.
    bench.push_to(&format!("oci://{}/other/redis-guard:1", registry.address()), 3, &[]);
    let elsewhere = format!("oci://{}/other/redis-guard:1", registry.address());
    bench.guards(&bench.proxy(&elsewhere, "", &trust(&[&ours.public])).start());
}

#[test]
fn a_good_filter_under_another_name_is_not_loaded() {
    let registry = Registry::start();
    let bench = Bench::new();
    let ours = bench.key("ours");
    bench.push(&registry, "1", 0, &["--sign", &ours.secret]);
    let trust = format!(
        "[[trust]]\nrepository = \"{}\"\nkeys = [\"{}\"]",
        registry.address(),
        ours.public
    );
    // Whoever can write to the registry puts the guard, with its signature, where the router was.
    let elsewhere = format!("oci://{}/team/postgres-router:1", registry.address());
    bench.push_to(&elsewhere, 0, &[]);
    let signature = bench.path("signature");
    json_of(&["pull", &bench.reference(&registry, "1"), "-o", text(&signature)]);
    fs::rename(bench.path("signature.minisig"), bench.path("redis-guard.wasm.minisig")).expect("a file of the test's");
    let finished = bench.pushed(&elsewhere, 0, &[]);
    assert!(
        finished.stderr.contains("is of \"redis-guard\""),
        "not even by us: {}",
        finished.stderr
    );
    let oras = bench.attach_by_hand(
        &registry,
        "team/postgres-router",
        "1",
        &bench.path("redis-guard.wasm.minisig"),
    );
    let finished = bench.proxy(&elsewhere, "", &trust).fail();
    assert!(
        finished
            .stderr
            .contains("it was signed as \"redis-guard\", and here it is \"postgres-router\""),
        "{oras}\n{}",
        finished.stderr
    );
}

#[test]
fn keys_are_rotated_while_the_filter_serves() {
    let registry = Registry::start();
    let bench = Bench::new();
    let (old, new) = (bench.key("old"), bench.key("new"));
    let trust = format!(
        "[[trust]]\nrepository = \"{}\"\nkeys = [\"{}\", \"{}\"]",
        registry.address(),
        old.public,
        new.public
    );
    bench.push(&registry, "1", 0, &["--sign", &old.secret]);
    let proxy = bench
        .proxy(&bench.reference(&registry, "1"), "pull = { every = \"1s\" }", &trust)
        .start();
    assert_eq!(proxy.wait_for("filter pulled", |_| true).text("signed_by"), old.id);
    bench.push(&registry, "1", 1, &["--sign", &new.secret]);
    proxy.published("guard", 2);
    let came = proxy.wait_for("filter pulled", |event| event.text("signed_by") == new.id);
    assert_eq!(came.text("version"), "1");

    // One that nobody has signed does not replace it, until somebody does.
    bench.push(&registry, "1", 2, &[]);
    let said = proxy.wait_for("filter rejected", |_| true);
    assert!(said.text("error").contains("it is not signed"), "{said}");
    bench.guards(&proxy);
    json_of(&["sign", &bench.reference(&registry, "1"), "--key", &new.secret]);
    proxy.published("guard", 3);
    let verified = json_of(&[
        "verify",
        &bench.reference(&registry, "1"),
        "--key",
        &old.public,
        "--key",
        &new.public,
    ]);
    assert_eq!(verified["key"], new.id);
}

#[test]
fn the_last_good_one_serves_when_the_registry_is_away_also_after_a_restart() {
    let mut registry = Registry::start();
    let bench = Bench::new();
    let ours = bench.key("ours");
    let trust = format!(
        "[[trust]]\nrepository = \"{}\"\nkeys = [\"{}\"]",
        registry.address(),
        ours.public
    );
    let pushed = bench.push(&registry, "1", 0, &["--sign", &ours.secret]);
    let reference = bench.reference(&registry, "1");
    let polls = "pull = { every = \"1s\" }";
    let proxy = bench.proxy(&reference, polls, &trust).start();
    registry.kill();
    let said = proxy.wait_for("filter not pulled", |_| true);
    assert!(said.text("error").contains("cannot be reached"), "{said}");
    bench.guards(&proxy);
    drop(proxy);

    let proxy = bench.proxy(&reference, polls, &trust).start();
    let came = proxy.wait_for("filter is the last good one, from the cache", |_| true);
    assert_eq!(came.text("manifest"), pushed["manifest"]);
    assert_eq!(came.text("signed_by"), ours.id, "what is in the cache is signed too");
    bench.guards(&proxy);
    registry.restart();
    let next = bench.push(&registry, "1", 1, &["--sign", &ours.secret]);
    proxy.published("guard", 2);
    proxy.wait_for("filter pulled", |event| event.text("manifest") == next["manifest"]);
    drop(proxy);

    // A registry that did not answer when `always` wanted to know is asked again.
    bench.push(&registry, "1", 2, &["--sign", &ours.secret]);
    registry.kill();
    let proxy = bench.proxy(&reference, "pull = \"always\"", &trust).start();
    proxy.wait_for("filter is the last good one, from the cache", |_| true);
    registry.restart();
    proxy.published("guard", 2);

    // Without anything in the cache there is nothing to serve, and it says what to do.
    registry.kill();
    let cold = Bench::new();
    let finished = cold.proxy(&reference, "", "").fail();
    assert_eq!(finished.code(), Some(1));
    assert!(finished.stderr.contains("cannot be reached"), "{}", finished.stderr);
}

#[test]
fn what_a_tag_means_now_is_of_no_use_and_what_it_meant_serves_at_the_start() {
    let registry = Registry::start();
    let bench = Bench::new();
    let ours = bench.key("ours");
    let trust = format!(
        "[[trust]]\nrepository = \"{}\"\nkeys = [\"{}\"]",
        registry.address(),
        ours.public
    );
    let reference = bench.reference(&registry, "1");
    let pushed = bench.push(&registry, "1", 0, &["--sign", &ours.secret]);
    bench.guards(&bench.proxy(&reference, "pull = \"always\"", &trust).start());
    // Not signed; and signed, but not for this configuration.
    for (file, more) in [
        ("redis-guard", &[][..]),
        ("postgres-router", &["--sign", ours.secret.as_str()][..]),
    ] {
        let wrong = variant(&fs::read(filter(file)).expect("a filter of ours"), 5);
        fs::write(bench.path("wrong.wasm"), wrong).expect("a file of the test's");
        let mut arguments = vec![
            "push",
            text(&bench.folder.path().join("wrong.wasm")).to_owned().leak(),
            &reference,
        ];
        arguments.extend(more);
        filter_command(&arguments).success();
        let proxy = bench.proxy(&reference, "pull = \"always\"", &trust).start();
        let came = proxy.wait_for("filter is the last good one, from the cache", |_| true);
        assert_eq!(came.text("manifest"), pushed["manifest"]);
        bench.guards(&proxy);
    }
}

#[test]
fn a_registry_that_dies_in_the_middle_of_a_pull_disturbs_nobody() {
    let registry = Registry::start();
    let breaker = Breaker::start(&registry);
    let bench = Bench::new();
    bench.push(&registry, "1", 0, &[]);
    let reference = format!("oci://{}/team/redis-guard:1", breaker.address());
    let proxy = bench.proxy(&reference, "pull = { every = \"1s\" }", "").start();
    breaker.break_after(4096);
    bench.push(&registry, "1", 1, &[]);
    let said = proxy.wait_for("filter not pulled", |_| true);
    assert!(said.text("error").contains("cannot be reached"), "{said}");
    assert_eq!(said.number("generation"), 1);
    bench.guards(&proxy);
    let cache = fs::read_dir(bench.path("cache/blobs/sha256")).expect("the cache");
    assert_eq!(cache.count(), 2, "a manifest and a layer: nothing of what broke off");
    let finished = filter_command(&["pull", &reference, "-o", text(&bench.path("x.wasm"))]);
    assert_eq!(finished.code(), Some(1), "{}", finished.stdout);
    breaker.heal();
    proxy.published("guard", 2);
    bench.guards(&proxy);
}

#[test]
fn a_full_disk_keeps_nobody_from_serving() {
    if !is_root() {
        skip!("only root can mount a small file system");
    }
    let registry = Registry::start();
    let bench = Bench::new();
    let disk = Disk::mount(&bench.path("disk"), "16k");
    fs::write(bench.path("disk/full"), vec![0; 12 << 10]).expect("a file on a small disk");
    bench.push(&registry, "1", 0, &[]);
    let reference = bench.reference(&registry, "1");
    let config = |source: &str, pull: &str| bench.config(source, pull, "").replace("/cache\"", "/disk\"");
    let proxy = Proxy::run(&config(&reference, "pull = { every = \"1s\" }")).start();
    let said = proxy.wait_for(
        "a pulled filter is not kept: it serves, and the registry is needed after a restart",
        |_| true,
    );
    assert!(said.text("error").contains("No space left"), "{said}");
    bench.guards(&proxy);
    bench.push(&registry, "1", 1, &[]);
    proxy.published("guard", 2);
    bench.guards(&proxy);
    drop((proxy, disk));
}

#[test]
fn what_lies_in_the_cache_is_not_believed() {
    let mut registry = Registry::start();
    let bench = Bench::new();
    let pushed = bench.push(&registry, "1", 0, &[]);
    let reference = bench.reference(&registry, "1");
    bench.guards(&bench.proxy(&reference, "", "").start());
    let blob = pushed["digest"]
        .as_str()
        .expect("a digest")
        .replace("sha256:", "cache/blobs/sha256/");
    fs::write(bench.path(&blob), bench.component(9)).expect("a file in the cache");
    let proxy = bench.proxy(&reference, "", "").start();
    proxy.wait_for("a file in the cache is not what its name says: it is removed", |_| true);
    assert_eq!(proxy.wait_for("filter pulled", |_| true).text("origin"), "Registry");
    bench.guards(&proxy);
    drop(proxy);
    fs::write(bench.path(&blob), b"").expect("a file in the cache");
    registry.kill();
    assert_eq!(bench.proxy(&reference, "", "").fail().code(), Some(1));

    // And a cache in which others can write is none.
    registry.restart();
    run(lasting("chmod").arg("777").arg(bench.path("cache")), SOON).success();
    let proxy = bench.proxy(&reference, "", "").start();
    let said = proxy.wait_for(
        "pulled filters are not kept: without its registry this process will not start again",
        |_| true,
    );
    assert!(said.text("error").contains("others can write to"), "{said}");
    bench.guards(&proxy);
}

#[test]
fn a_registry_that_asks_who_is_there_is_told_by_the_docker_configuration() {
    let registry = Registry::with_password();
    let bench = Bench::new();
    let reference = bench.reference(&registry, "1");
    let login = registry.docker_configuration();
    let finished = bench.pushed(&reference, 0, &[]);
    assert_eq!(finished.code(), Some(1));
    let hint = format!("docker login {}", registry.address());
    assert!(finished.stderr.contains(&hint), "{}", finished.stderr);
    let with_login = |arguments: &[&str]| {
        let mut command = lasting(spliceway_tests::artifacts::binary());
        run(
            command.arg("filter").args(arguments).env("DOCKER_CONFIG", login.path()),
            SOON,
        )
    };
    with_login(&["push", text(&bench.file(0)), &reference]).success();
    with_login(&["list", reference.trim_end_matches(":1")]).success();
    let finished = bench
        .proxy(&reference, "", "")
        .environment("DOCKER_CONFIG", "/nowhere")
        .fail();
    assert!(finished.stderr.contains(&hint), "{}", finished.stderr);
    let proxy = bench
        .proxy(&reference, "", "")
        .environment("DOCKER_CONFIG", login.path().display())
        .start();
    bench.guards(&proxy);
    assert!(!proxy.log_text().contains("U*U"), "a password is nobody's business");
}

#[test]
fn plain_http_is_for_this_machine_and_for_those_who_are_named() {
    let registry = Registry::start();
    let bench = Bench::new();
    bench.push(&registry, "1", 0, &[]);
    // The kernel takes it for this machine, and nobody else does.
    let elsewhere = format!("0.0.0.0:{}", registry.port());
    let reference = format!("oci://{elsewhere}/team/redis-guard:1");
    let finished = bench.proxy(&reference, "", "").fail();
    assert_eq!(finished.code(), Some(1));
    assert!(
        finished.stderr.contains(&format!("add \"{elsewhere}\" to `insecure`")),
        "{}",
        finished.stderr
    );
    let named = format!("insecure = [\"{elsewhere}\"]");
    bench.guards(&bench.proxy(&reference, "", &named).start());
    let finished = filter_command(&["pull", &reference, "-o", text(&bench.path("x.wasm"))]);
    assert_eq!(finished.code(), Some(1));
    filter_command(&[
        "pull",
        &reference,
        "--insecure",
        &elsewhere,
        "-o",
        text(&bench.path("x.wasm")),
    ])
    .success();
}

#[test]
fn a_registry_is_who_its_certificate_says() {
    let authority = Authority::new("Registries' own");
    // The kernel takes that address for this machine, and nobody else does: TLS is spoken.
    let registry = Registry::with_tls(&authority.server(&["0.0.0.0"]));
    let bench = Bench::new();
    fs::write(bench.path("ca.pem"), authority.pem()).expect("a file of the test's");
    let reference = format!("oci://0.0.0.0:{}/team/redis-guard:1", registry.port());
    let finished = bench.pushed(&reference, 0, &[]);
    assert_eq!(finished.code(), Some(1));
    assert!(finished.stderr.contains("certificate"), "{}", finished.stderr);
    let authorities = bench.path("ca.pem");
    bench.push_to(&reference, 0, &["--authorities", text(&authorities)]);
    let finished = bench.proxy(&reference, "", "").fail();
    assert!(finished.stderr.contains("certificate"), "{}", finished.stderr);
    let named = format!("authorities = \"{}\"", text(&authorities));
    bench.guards(&bench.proxy(&reference, "", &named).start());
}

#[test]
fn check_pulls_and_says_what_it_got() {
    let registry = Registry::start();
    let bench = Bench::new();
    let pushed = bench.push(&registry, "1", 0, &[]);
    let config = bench.path("spliceway.toml");
    fs::write(&config, bench.config(&bench.reference(&registry, "1"), "", "")).expect("a file of the test's");
    let said = spliceway(["check", "--config", text(&config)], SOON).success();
    assert!(said.contains(pushed["digest"].as_str().expect("a digest")), "{said}");
}

#[test]
fn a_file_needs_its_signature_where_its_directory_does() {
    let bench = Bench::new();
    let ours = bench.key("ours");
    fs::create_dir(bench.path("filters")).expect("a folder of the test's");
    let file = bench.path("filters/redis-guard.wasm");
    fs::write(&file, bench.component(0)).expect("a file of the test's");
    let trust = format!(
        "[[trust]]\npath = \"{}\"\nkeys = [\"{}\"]",
        text(&bench.path("filters")),
        ours.public
    );
    let finished = bench.proxy(text(&file), "", &trust).fail();
    for part in [
        "it is not signed",
        &ours.id,
        "spliceway filter sign",
        "redis-guard.wasm.minisig",
    ] {
        assert!(finished.stderr.contains(part), "{part}\n{}", finished.stderr);
    }
    let sign = || json_of(&["sign", text(&file), "--key", &ours.secret, "--version", "1.2.0"]);
    sign();
    let proxy = bench.proxy(text(&file), "", &trust).start();
    bench.guards(&proxy);
    // The filter changes before its signature does.
    fs::write(&file, bench.component(1)).expect("a file of the test's");
    let said = proxy.wait_for("filter rejected", |_| true);
    assert!(said.text("error").contains("is not of these bytes"), "{said}");
    bench.guards(&proxy);
    sign();
    proxy.published("guard", 2);
    bench.guards(&proxy);

    fs::rename(&file, bench.path("filters/other.wasm")).expect("a file of the test's");
    fs::rename(
        bench.path("filters/redis-guard.wasm.minisig"),
        bench.path("filters/other.wasm.minisig"),
    )
    .expect("a file");
    let finished = bench.proxy(text(&bench.path("filters/other.wasm")), "", &trust).fail();
    assert!(
        finished
            .stderr
            .contains("signed as \"redis-guard\", and here it is \"other\""),
        "{}",
        finished.stderr
    );
}

#[test]
fn minisign_checks_what_we_sign_and_we_check_what_it_signs() {
    let bench = Bench::new();
    let (file, ours) = (bench.file(0), bench.key("ours"));
    json_of(&["sign", text(&file), "--key", &ours.secret, "--version", "1.2.0"]);
    let mut minisign = lasting("minisign");
    let said = run(minisign.args(["-V", "-P", &ours.public, "-m", text(&file)]), SOON).success();
    assert!(said.contains("name=redis-guard version=1.2.0 digest=sha256:"), "{said}");

    // Its own key, without a password, and the words of ours in its trusted comment.
    let (secret, public) = (bench.path("theirs.key"), bench.path("theirs.pub"));
    run(
        lasting("minisign").args(["-G", "-W", "-s", text(&secret), "-p", text(&public)]),
        SOON,
    )
    .success();
    fs::remove_file(bench.path("redis-guard.wasm.minisig")).expect("a signature of ours");
    run(
        lasting("minisign").args(["-S", "-s", text(&secret), "-m", text(&file)]),
        SOON,
    )
    .success();
    let finished = filter_command(&["verify", text(&file), "--key", text(&public)]);
    assert!(
        finished.stderr.contains("does not say `digest=`"),
        "{}",
        finished.stderr
    );
    let comment = format!("name=redis-guard digest=sha256:{}", digest(&bench.component(0)));
    run(
        lasting("minisign").args(["-S", "-s", text(&secret), "-m", text(&file), "-t", &comment]),
        SOON,
    )
    .success();
    json_of(&["verify", text(&file), "--key", text(&public)]);
    // And its key signs for us.
    json_of(&["sign", text(&file), "--key", text(&secret)]);
    run(
        lasting("minisign").args(["-V", "-p", text(&public), "-m", text(&file)]),
        SOON,
    )
    .success();
    let finished = filter_command(&["verify", text(&file), "--key", &ours.public]);
    assert!(finished.stderr.contains("signed by another key"), "{}", finished.stderr);
}

#[test]
fn a_secret_key_has_a_password_which_comes_from_a_file_or_the_environment() {
    let bench = Bench::new();
    let file = bench.file(0);
    let out = bench.path("team");
    let bare = filter_command(&["keygen", "--out", text(&out)]);
    assert_eq!(bare.code(), Some(1), "there is no terminal here");
    assert!(bare.stderr.contains("SPLICEWAY_KEY_PASSWORD"), "{}", bare.stderr);
    fs::write(bench.path("password"), "correct horse\n").expect("a file of the test's");
    let password = bench.path("password");
    let made = json_of(&["keygen", "--out", text(&out), "--password-file", text(&password)]);
    let again = filter_command(&["keygen", "--out", text(&out), "--no-password"]);
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    let secret = bench.path("team.key");
    let sign = |name: &str, value: &str| {
        let mut command = lasting(spliceway_tests::artifacts::binary());
        command
            .args(["filter", "sign", text(&file), "--key", text(&secret)])
            .env(name, value);
        run(&mut command, SOON)
    };
    assert!(
        sign("SPLICEWAY_KEY_PASSWORD", "wrong")
            .stderr
            .contains("does not open with this password")
    );
    sign("SPLICEWAY_KEY_PASSWORD", "correct horse").success();
    let verified = json_of(&["verify", text(&file), "--key", text(&bench.path("team.pub"))]);
    assert_eq!(verified["key"], made["id"]);
    let mode = run(lasting("stat").args(["-c", "%a", text(&secret)]), SOON).success();
    assert_eq!(mode.trim(), "600");
}

#[test]
fn a_keyed_signature_of_cosigns_counts() {
    let registry = Registry::start();
    let bench = Bench::new();
    let pushed = bench.push(&registry, "1", 0, &[]);
    let manifest = pushed["manifest"].as_str().expect("a digest");
    let (secret, public) = (bench.path("cosign.key"), bench.path("cosign.pub"));
    let script = format!(
        "openssl ecparam -name prime256v1 -genkey -noout -out {0}; openssl ec -in {0} -pubout -out {1}",
        text(&secret),
        text(&public)
    );
    run(lasting("bash").args(["-ec", &script]), SOON).success();
    let attach = |digest: &str, key: &Path| {
        let payload = json!({
            "critical": {
                "identity": { "docker-reference": format!("{}/team/redis-guard", registry.address()) },
                "image": { "docker-manifest-digest": digest },
                "type": "cosign container image signature",
            },
            "optional": null,
        });
        let payload = payload.to_string();
        fs::write(bench.path("payload"), &payload).expect("a file of the test's");
        let script = format!(
            "openssl dgst -sha256 -sign {} {} | base64 -w0",
            text(key),
            text(&bench.path("payload"))
        );
        let signature = run(lasting("bash").args(["-ec", &script]), SOON).success();
        let config = "{}";
        let document = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": registry.put_blob("team/redis-guard", config.as_bytes()),
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.dev.cosign.simplesigning.v1+json",
                "digest": registry.put_blob("team/redis-guard", payload.as_bytes()),
                "size": payload.len(),
                "annotations": { "dev.cosignproject.cosign/signature": signature },
            }],
        });
        registry.put_manifest(
            "team/redis-guard",
            &format!("{}.sig", manifest.replace(':', "-")),
            &document,
        );
    };
    let reference = bench.reference(&registry, "1");
    let trust = format!(
        "[[trust]]\nrepository = \"{}/team\"\nkeys = [\"{}\"]",
        registry.address(),
        text(&public)
    );
    let says = |text: &str| {
        let finished = bench.proxy(&reference, "", &trust).fail();
        assert!(finished.stderr.contains(text), "{}", finished.stderr);
    };
    says("it is not signed");
    attach(&format!("sha256:{}", "0".repeat(64)), &secret);
    says("is about something else: sha256:0000");
    attach(manifest, &secret);
    let proxy = bench.proxy(&reference, "", &trust).start();
    assert!(
        proxy
            .wait_for("filter pulled", |_| true)
            .text("signed_by")
            .starts_with("ecdsa:")
    );
    bench.guards(&proxy);
    let other = bench.path("other.key");
    run(
        lasting("openssl").args([
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
            text(&other),
        ]),
        SOON,
    )
    .success();
    attach(manifest, &other);
    let cold = Bench::new();
    let finished = cold.proxy(&reference, "", &trust).fail();
    assert!(finished.stderr.contains("signed by another key"), "{}", finished.stderr);
}

#[test]
fn what_is_no_filter_is_not_pushed_and_not_loaded() {
    let registry = Registry::start();
    let bench = Bench::new();
    fs::write(bench.path("x.wasm"), b"\0asm\x01\0\0\0").expect("a file of the test's");
    let finished = filter_command(&["push", text(&bench.path("x.wasm")), &bench.reference(&registry, "1")]);
    assert!(
        finished.stderr.contains("a WebAssembly module and not a component"),
        "{}",
        finished.stderr
    );
    let digest = registry.put_blob("team/redis-guard", b"{}");
    let image = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest, "size": 2 },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": 2 }],
    });
    registry.put_manifest("team/redis-guard", "image", &image);
    let finished = bench.proxy(&bench.reference(&registry, "image"), "", "").fail();
    assert!(
        finished
            .stderr
            .contains("it is no filter: expected one layer `application/wasm`"),
        "{}",
        finished.stderr
    );
    let finished = bench.proxy(&bench.reference(&registry, "absent"), "", "").fail();
    assert!(
        finished.stderr.contains("has no team/redis-guard:absent"),
        "{}",
        finished.stderr
    );
}

/// A folder with keys, variants of a filter and a cache.
struct Bench {
    folder: TempDir,
    upstream: Upstream,
}

struct Key {
    id: String,
    public: String,
    /// Its file.
    secret: String,
}

impl Bench {
    fn new() -> Self {
        let folder = TempDir::with_prefix("spliceway-sharing-").expect("a temporary folder");
        let upstream = Upstream::echo();
        Self { folder, upstream }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn reference(&self, registry: &Registry, tag: &str) -> String {
        format!("oci://{}/team/redis-guard:{tag}", registry.address())
    }

    /// The same filter in bytes of another digest.
    fn component(&self, number: u32) -> Vec<u8> {
        let bytes = fs::read(filter("redis-guard")).expect("a filter of ours");
        if number == 0 { bytes } else { variant(&bytes, number) }
    }

    #[track_caller]
    fn file(&self, number: u32) -> PathBuf {
        let file = self.path("redis-guard.wasm");
        fs::write(&file, self.component(number)).expect("a file of the test's");
        // The same file pushed twice is the same manifest: no earlier test's clock in it.
        run(lasting("touch").args(["-d", "2026-11-22T00:00:00Z", text(&file)]), SOON).success();
        file
    }

    #[track_caller]
    fn push(&self, registry: &Registry, tag: &str, number: u32, more: &[&str]) -> Value {
        self.push_to(&self.reference(registry, tag), number, more)
    }

    #[track_caller]
    fn push_to(&self, reference: &str, number: u32, more: &[&str]) -> Value {
        let said = self.pushed(reference, number, &[more, &["--json"]].concat()).success();
        serde_json::from_str(&said).expect("it says JSON")
    }

    #[track_caller]
    fn pushed(&self, reference: &str, number: u32, more: &[&str]) -> Finished {
        let file = self.file(number);
        filter_command(&[&["push", text(&file), reference], more].concat())
    }

    #[track_caller]
    fn key(&self, name: &str) -> Key {
        let out = self.path(name);
        let said = json_of(&["keygen", "--no-password", "--out", text(&out)]);
        let text = |key: &str| said[key].as_str().expect("a text").to_owned();
        Key {
            id: text("id"),
            public: text("public_key"),
            secret: text("secret_file"),
        }
    }

    /// What somebody would do who wants to be believed: a signature from elsewhere beside this manifest.
    #[track_caller]
    fn attach_by_hand(&self, registry: &Registry, repository: &str, tag: &str, signature: &Path) -> String {
        let subject = registry.get(repository, &format!("manifests/{tag}"));
        let bytes = fs::read(signature).expect("a signature");
        let size = serde_json::to_string(&subject).expect("JSON").len();
        let manifest = json_of(&["list", &format!("oci://{}/{repository}", registry.address())])[0]["digest"].clone();
        let kind = "application/vnd.spliceway.signature.v1+minisign";
        let attached = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": kind,
            "config": {
                "mediaType": "application/vnd.oci.empty.v1+json",
                "digest": registry.put_blob(repository, b"{}"),
                "size": 2,
            },
            "layers": [{ "mediaType": kind, "digest": registry.put_blob(repository, &bytes), "size": bytes.len() }],
            "subject": { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": manifest, "size": size },
        });
        let digest = registry.put_manifest(repository, "attached", &attached);
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": digest,
                "size": attached.to_string().len(),
                "artifactType": kind,
            }],
        });
        let tag = manifest.as_str().expect("a digest").replace(':', "-");
        registry.put_index(repository, &tag, &index)
    }

    fn config(&self, source: &str, pull: &str, more: &str) -> String {
        let (registries, trust) = match more.starts_with("[[") {
            true => ("", more),
            false => (more, ""),
        };
        format!(
            "[registries]\ncache = \"{}\"\n{registries}\n{trust}\n\
             [filters.guard]\nsource = \"{source}\"\n{pull}\nconfig = {{ refuse = [\"FLUSHALL\"] }}\n\
             [upstreams.echo]\nservers = [\"{}\"]\n\
             [[listeners]]\nname = \"redis\"\naddress = \"127.0.0.1:0\"\nfilters = [\"guard\"]\nupstream = \"echo\"\n",
            text(&self.path("cache")),
            self.upstream.address()
        )
    }

    fn proxy(&self, source: &str, pull: &str, more: &str) -> spliceway_tests::Builder {
        Proxy::run(&self.config(source, pull, more))
    }

    /// The filter is there, and does what it is for.
    #[track_caller]
    fn guards(&self, proxy: &Proxy) {
        let mut client = Client::connect(proxy.address());
        client.send(b"*1\r\n$4\r\nPING\r\n");
        client.expect(b"*1\r\n$4\r\nPING\r\n");
        client.send(b"*1\r\n$8\r\nFLUSHALL\r\n");
        let heard = client.hear_out();
        assert!(!heard.bytes.ends_with(b"FLUSHALL\r\n"), "it came through");
    }
}

/// A file system of so many bytes, gone with the test.
struct Disk(PathBuf);

impl Disk {
    #[track_caller]
    fn mount(path: &Path, size: &str) -> Self {
        fs::create_dir(path).expect("a folder of the test's");
        let options = format!("size={size},mode=700");
        run(
            lasting("mount")
                .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
                .arg(path),
            SOON,
        )
        .success();
        Self(path.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run(lasting("umount").arg("-l").arg(&self.0), SOON);
    }
}

#[track_caller]
fn filter_command(arguments: &[&str]) -> Finished {
    spliceway([&["filter"], arguments].concat(), SOON)
}

#[track_caller]
fn json_of(arguments: &[&str]) -> Value {
    let said = filter_command(&[arguments, &["--json"]].concat()).success();
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}\n{said}"))
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's own")
}
