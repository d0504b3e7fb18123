//! One port for SSH and for everything else: an SSH client speaks first, and begins with "SSH-".

use spliceway_sdk::prelude::*;

#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
struct OnePort {
    /// The upstream of SSH connections. All others go to the listener's.
    ssh: String,
}

impl Config for OnePort {}

impl Router for OnePort {
    fn route(&self, window: &Window, _connection: &Connection) -> Decision {
        let banner = b"SSH-";
        if window.bytes.starts_with(banner) {
            Decision::route(&self.ssh)
        } else if banner.starts_with(&window.bytes) {
            Decision::Need(1)
        } else {
            Decision::Pass
        }
    }
}

export_config!(OnePort);
export_router!(OnePort);

#[cfg(test)]
mod tests {
    use spliceway_sdk::testing::{Scene, json};

    use super::*;

    fn scene() -> Scene {
        Scene::new().config(json!({ "ssh": "bastion" }))
    }

    #[test]
    fn ssh_goes_to_its_upstream_however_it_is_cut() {
        for scene in scene().up(b"SSH-2.0-OpenSSH_9.2\r\n").cuts() {
            assert_eq!(scene.route::<OnePort>().decision, Decision::route("bastion"));
        }
    }

    #[test]
    fn everything_else_goes_where_the_listener_says() {
        for scene in scene().up(b"GET / HTTP/1.1\r\n").cuts() {
            assert_eq!(scene.route::<OnePort>().decision, Decision::Pass);
        }
    }

    #[test]
    fn a_client_that_waits_for_the_server_is_not_kept_waiting_for_ever() {
        assert_eq!(scene().time_out().route::<OnePort>().decision, Decision::Pass);
    }
}
