use std::collections::BTreeSet;
use std::path::PathBuf;

use serde_json::Value;

use super::super::schema;
use super::refused;

/// Where each object of the schema stands in a file, with a key that no object has.
const PLACES: [(&str, &str); 51] = [
    ("", "zzzzzzzz = 1"),
    ("Limits", "[limits]\nzzzzzzzz = 1"),
    ("Drain", "[drain]\nzzzzzzzz = 1"),
    ("AccessLog", "[access-log]\nzzzzzzzz = 1"),
    ("Resolver", "[resolver]\nzzzzzzzz = 1"),
    ("Metrics", "[metrics]\nzzzzzzzz = 1"),
    ("Telemetry", "[telemetry]\nzzzzzzzz = 1"),
    ("Admin", "[admin]\nzzzzzzzz = 1"),
    ("Toxiproxy", "[toxiproxy]\nzzzzzzzz = 1"),
    ("Process", "[process]\nzzzzzzzz = 1"),
    ("Registries", "[registries]\nzzzzzzzz = 1"),
    ("Trust", "[[trust]]\nzzzzzzzz = 1"),
    ("Filter", "[filters.x]\nzzzzzzzz = 1"),
    ("Reload", "[reload]\nzzzzzzzz = 1"),
    ("DrainTable", "[upstreams.x]\n[upstreams.x.on-change]\nzzzzzzzz = 1"),
    ("PullTable", "[filters.x]\n[filters.x.pull]\nzzzzzzzz = 1"),
    ("CanaryTable", "[filters.x]\n[filters.x.canary]\nzzzzzzzz = 1"),
    ("QuarantineTable", "[filters.x]\n[filters.x.quarantine]\nzzzzzzzz = 1"),
    ("FilterLimits", "[filters.x]\n[filters.x.limits]\nzzzzzzzz = 1"),
    ("Retire", "[filters.x]\n[filters.x.retire]\nzzzzzzzz = 1"),
    ("Upstream", "[upstreams.x]\nzzzzzzzz = 1"),
    ("ServerTable", "[upstreams.x]\n[[upstreams.x.servers]]\nzzzzzzzz = 1"),
    ("RetriesTable", "[upstreams.x]\n[upstreams.x.retries]\nzzzzzzzz = 1"),
    ("Queue", "[upstreams.x]\n[upstreams.x.queue]\nzzzzzzzz = 1"),
    ("Health", "[upstreams.x]\n[upstreams.x.health]\nzzzzzzzz = 1"),
    ("Passive", "[upstreams.x]\n[upstreams.x.passive]\nzzzzzzzz = 1"),
    ("Dns", "[upstreams.x]\n[upstreams.x.dns]\nzzzzzzzz = 1"),
    ("TimeoutChanges", "[upstreams.x]\n[upstreams.x.timeouts]\nzzzzzzzz = 1"),
    ("Listener", "[[listeners]]\nzzzzzzzz = 1"),
    ("Treatment", "[[listeners]]\n[listeners.treatment]\nzzzzzzzz = 1"),
    (
        "Bandwidth",
        "[[listeners]]\n[listeners.treatment]\n[listeners.treatment.bandwidth]\nzzzzzzzz = 1",
    ),
    (
        "Quota",
        "[[listeners]]\n[listeners.treatment]\n[listeners.treatment.quota]\nzzzzzzzz = 1",
    ),
    (
        "Capture",
        "[[listeners]]\n[listeners.treatment]\n[listeners.treatment.capture]\nzzzzzzzz = 1",
    ),
    (
        "Fault",
        "[[listeners]]\n[listeners.treatment]\n[listeners.treatment.faults]\nzzzzzzzz = 1",
    ),
    (
        "Mirror",
        "[[listeners]]\n[listeners.treatment]\n[listeners.treatment.mirror]\nzzzzzzzz = 1",
    ),
    ("ProxyIn", "[[listeners]]\n[listeners.proxy-protocol]\nzzzzzzzz = 1"),
    (
        "ProxyOutTable",
        "[upstreams.x]\n[upstreams.x.proxy-protocol]\nzzzzzzzz = 1",
    ),
    ("Timeouts", "[[listeners]]\n[listeners.timeouts]\nzzzzzzzz = 1"),
    ("ListenerSocket", "[[listeners]]\n[listeners.socket]\nzzzzzzzz = 1"),
    ("UpstreamSocket", "[upstreams.x]\n[upstreams.x.socket]\nzzzzzzzz = 1"),
    ("SocketFile", "[[listeners]]\n[listeners.socket-file]\nzzzzzzzz = 1"),
    ("Detection", "[[listeners]]\n[listeners.detection]\nzzzzzzzz = 1"),
    ("TlsIn", "[[listeners]]\n[listeners.tls]\nzzzzzzzz = 1"),
    (
        "CertificateTable",
        "[[listeners]]\n[listeners.tls]\n[[listeners.tls.certificates]]\nzzzzzzzz = 1",
    ),
    (
        "ClientAuth",
        "[[listeners]]\n[listeners.tls]\n[listeners.tls.client-auth]\nzzzzzzzz = 1",
    ),
    ("Route", "[[listeners]]\n[[listeners.routes]]\nzzzzzzzz = 1"),
    ("SharedRoute", "[[routes]]\nzzzzzzzz = 1"),
    (
        "TlvCondition",
        "[[listeners]]\n[[listeners.routes]]\n[[listeners.routes.proxy-tlv]]\nzzzzzzzz = 1",
    ),
    (
        "Share",
        "[[listeners]]\n[[listeners.routes]]\n[[listeners.routes.split]]\nzzzzzzzz = 1",
    ),
    ("TlsOutTable", "[upstreams.x]\n[upstreams.x.tls]\nzzzzzzzz = 1"),
    ("KeepaliveTable", "[[listeners]]\n[listeners.keepalive]\nzzzzzzzz = 1"),
];

#[test]
fn the_schema_in_the_repository_is_that_of_the_code() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/spliceway.schema.json");
    if std::env::var_os("BLESS").is_some() {
        let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
        std::fs::write(&path, text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let committed: Value = serde_json::from_str(&committed).unwrap();
    assert!(
        committed == schema(),
        "{} is out of date: run the tests once with BLESS=1",
        path.display()
    );
}

#[test]
fn the_reader_takes_the_keys_of_the_schema_and_no_others() {
    let schema = schema();
    let mut objects: BTreeSet<&str> = BTreeSet::from([""]);
    let definitions = schema["definitions"].as_object().unwrap();
    objects.extend(
        definitions
            .iter()
            .filter(|(_, value)| !value["properties"].is_null())
            .map(|(key, _)| key.as_str()),
    );
    assert_eq!(
        objects,
        PLACES.iter().map(|(name, _)| *name).collect(),
        "an object without a place in this test"
    );

    for (name, text) in PLACES {
        let object = if name.is_empty() {
            &schema
        } else {
            &schema["definitions"][name]
        };
        let said = refused(text);
        assert_eq!(
            accepted_keys(&said),
            keys(object["properties"].as_object().unwrap().keys()),
            "{name}"
        );
        assert_eq!(object["additionalProperties"], false, "{name}");
        if name.is_empty() {
            assert_eq!(object["required"], serde_json::json!(["listeners"]));
            assert!(said.contains("there are no listeners"));
        } else {
            let required = object["required"].as_array().into_iter().flatten();
            let required = keys(required.map(|key| key.as_str().unwrap()));
            // The place of one object may lack the keys of another around it: those stand on another line.
            let line = text.lines().count() - 1;
            assert_eq!(missing_keys(&said, line), required, "{name}");
        }
    }
}

fn keys(names: impl IntoIterator<Item: AsRef<str>>) -> BTreeSet<String> {
    names.into_iter().map(|name| name.as_ref().to_owned()).collect()
}

fn accepted_keys(said: &str) -> BTreeSet<String> {
    let (_, list) = said.split_once("known keys: ").unwrap();
    let list = list.lines().next().unwrap();
    list.split(", ").map(|key| key.trim_matches('`').to_owned()).collect()
}

fn missing_keys(said: &str, line: usize) -> BTreeSet<String> {
    said.split("\n\n")
        .filter(|problem| problem.contains(&format!("proxy.toml:{line}:")))
        .filter_map(|problem| problem.strip_prefix("error: missing key `")?.split('`').next())
        .map(str::to_owned)
        .collect()
}
