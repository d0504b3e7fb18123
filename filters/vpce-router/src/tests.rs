use spliceway_sdk::testing::{self, json};

use super::*;

#[test]
fn transcripts() {
    testing::Transcripts::of("transcripts").router::<VpceRouter>().play();
}

#[test]
fn a_bad_configuration_says_where() {
    let error = |json| testing::config::<VpceRouter>(&json).unwrap_err();
    assert_eq!(error(json!(null)), "neither aws nor azure nor gcp names an endpoint");
    assert!(error(json!({"aws": {"VPCE-1": "x"}})).starts_with("aws.VPCE-1: not an endpoint"));
    for id in ["", "-1", "+1", "01", "1a", "99999999999999999999"] {
        assert!(error(json!({"azure": {id: "x"}})).contains("not a number"), "{id}");
        assert!(error(json!({"gcp": {id: "x"}})).contains("not a number"), "{id}");
    }
    assert!(error(json!({"alibaba": {}})).contains("unknown field `alibaba`"));
}

#[test]
fn schema() {
    testing::assert_schema::<VpceRouter>(concat!(env!("CARGO_MANIFEST_DIR"), "/schema.json"));
}
