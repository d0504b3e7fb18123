use spliceway_sdk::Attribute;
use spliceway_sdk::testing::{self, Host, Record, Scene, json};

use super::*;

#[test]
fn logs_what_is_known() {
    let host = Scene::new().observe::<AccessLog>(&[postgres(), refused()]);
    let [first, second] = host.logs() else {
        panic!("{:?}", host.logs())
    };
    assert_eq!((first.level, first.message.as_str()), (Level::Info, "connection"));
    assert_eq!(
        line(first),
        "connection=7 listener=postgres client=192.0.2.7:40000 upstream=blue server=10.0.0.1:5432 bytes-up=120 \
         bytes-down=4096 duration-us=1500 outcome=relay.finished.client postgres.user=app copied-up=120 \
         copied-down=96 spliced-down=4000"
    );
    assert_eq!(
        line(second),
        "connection=8 listener=postgres bytes-up=0 bytes-down=0 duration-us=0 outcome=route.refused"
    );
}

#[test]
fn logs_the_fields_that_are_named_in_their_order() {
    let config = json!({"fields": ["outcome", "postgres.user", "connection"]});
    let host = Scene::new()
        .config(config)
        .observe::<AccessLog>(&[postgres(), refused()]);
    assert_eq!(
        lines(&host),
        [
            "outcome=relay.finished.client postgres.user=app connection=7",
            "outcome=route.refused connection=8"
        ]
    );
}

#[test]
fn leaves_out_what_is_excluded() {
    let config = json!({"exclude": ["client", "listener", "bytes-up", "bytes-down", "duration-us"]});
    let host = Scene::new().config(config).observe::<AccessLog>(&[refused()]);
    assert_eq!(lines(&host), ["connection=8 outcome=route.refused"]);
}

#[test]
fn logs_a_share() {
    let logged = |sample: f64| {
        let batch = vec![refused(); 10_000];
        Scene::new()
            .config(json!({"sample": sample}))
            .observe::<AccessLog>(&batch)
            .logs()
            .len()
    };
    assert_eq!(logged(0.0), 0);
    assert_eq!(logged(1.0), 10_000);
    assert!((900..1100).contains(&logged(0.1)));
}

#[test]
fn a_record_has_no_more_fields_than_the_proxy_takes() {
    let mut closed = postgres();
    closed.attributes = (0..64)
        .map(|index| Attribute::new(format!("a{index}"), index))
        .collect();
    let host = Scene::new().observe::<AccessLog>(&[closed]);
    assert_eq!(host.logs()[0].fields.len(), MAX_FIELDS);
}

/// The proxy keeps the first of two fields with the same key.
#[test]
fn an_annotation_does_not_pass_for_what_the_proxy_knows() {
    let mut closed = postgres();
    closed.attributes.push(Attribute::new("client", "198.51.100.66:1"));
    let client = Value::from(closed.client.unwrap());
    for config in [json!({}), json!({"fields": ["client"]})] {
        let host = Scene::new().config(config).observe::<AccessLog>(&[closed.clone()]);
        assert_eq!(host.logs()[0].field("client"), Some(&client));
    }
}

#[test]
fn connections_that_have_no_annotation_in_common_are_all_logged() {
    let batch: Vec<Closed> = (0..MAX_ANNOTATIONS + 1)
        .map(|index| {
            let mut closed = refused();
            closed.attributes = vec![Attribute::new(format!("a{index}"), index)];
            closed
        })
        .collect();
    let host = Scene::new().observe::<AccessLog>(&batch);
    assert_eq!(host.logs().len(), batch.len());
    for (index, record) in host.logs().iter().enumerate() {
        assert_eq!(record.field(&format!("a{index}")), Some(&index.into()));
    }
}

#[test]
fn a_bad_configuration_says_where() {
    let error = |json| testing::config::<AccessLog>(&json).unwrap_err();
    assert_eq!(error(json!({"sample": 2})), "sample: 2 is not between 0 and 1");
    assert_eq!(
        error(json!({"fields": [], "exclude": ["client"]})),
        "exclude: fields says already what is logged"
    );
    assert!(error(json!({"field": []})).starts_with("field: unknown field `field`"));
}

#[test]
fn transcripts() {
    testing::Transcripts::of("transcripts").observer::<AccessLog>().play();
}

#[test]
fn schema() {
    testing::assert_schema::<AccessLog>(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json"));
}

fn postgres() -> Closed {
    let mut closed = Closed::default();
    closed.connection = 7;
    closed.listener = "postgres".into();
    closed.client = Some(([192, 0, 2, 7], 40000).into());
    closed.upstream = Some("blue".into());
    closed.server = Some(([10, 0, 0, 1], 5432).into());
    closed.up.copied = 120;
    closed.down.copied = 96;
    closed.down.spliced = 4000;
    closed.duration = Duration::from_micros(1500);
    closed.outcome = "relay.finished.client".into();
    closed.attributes = vec![Attribute::new("postgres.user", "app")];
    closed
}

fn refused() -> Closed {
    let mut closed = Closed::default();
    closed.connection = 8;
    closed.listener = "postgres".into();
    closed.outcome = "route.refused".into();
    closed
}

fn lines(host: &Host) -> Vec<String> {
    host.logs().iter().map(line).collect()
}

fn line(record: &Record) -> String {
    let fields = record
        .fields
        .iter()
        .map(|field| format!("{}={}", field.key, field.value));
    fields.collect::<Vec<_>>().join(" ")
}
