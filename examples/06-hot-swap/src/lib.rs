//! The next version of examples/05-first-filter, for a maintenance: SSH goes where it went, all else is refused.

use spliceway_sdk::prelude::*;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct OnePort {
    /// The upstream of SSH connections. All others are refused.
    ssh: String,
}

impl Config for OnePort {}

impl Router for OnePort {
    fn route(&self, window: &Window, _connection: &Connection) -> Decision {
        let banner = b"SSH-";
        if window.bytes.starts_with(banner) {
            Decision::route(&self.ssh)
        } else if banner.starts_with(&window.bytes) && !window.is_last() {
            Decision::Need(1)
        } else {
            Decision::refuse("maintenance")
        }
    }
}

export_config!(OnePort);
export_router!(OnePort);

#[cfg(test)]
mod tests {
    use spliceway_sdk::testing::{Scene, json};

    use super::*;

    #[test]
    fn only_ssh_goes_on() {
        let scene = || Scene::new().config(json!({ "ssh": "bastion" }));
        let decision = |scene: Scene| scene.route::<OnePort>().decision;
        assert_eq!(decision(scene().up(b"SSH-2.0-x\r\n")), Decision::route("bastion"));
        assert_eq!(
            decision(scene().up(b"GET / HTTP/1.1\r\n")),
            Decision::refuse("maintenance")
        );
        assert_eq!(decision(scene().time_out()), Decision::refuse("maintenance"));
    }
}
