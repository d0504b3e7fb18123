//! What a capture is told of a connection, and when.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::record::Record;
use super::{Accepted, Routed};
use crate::channel::Channel;
use crate::config::period;
use crate::filter::Value;
use crate::flow::Side;
use crate::treatment;
use crate::treatment::capture::{self, About, Capture, Recording, Stream};
use crate::upstream::Connected;
use crate::worker::Worker;

impl Record {
    /// Listens from the beginning where somebody may want to know of it.
    pub(super) fn may_be_captured(&mut self, worker: &Worker, accepted: &Accepted) {
        if capture::is_expected(&self.listener, worker) {
            let recording = Recording::early(accepted.socket.local());
            accepted.socket.tap(&recording, Side::Client);
            self.recording = Some(recording);
        }
    }

    /// It is known who wants to know of it.
    pub(super) fn will_be_captured(&mut self, worker: &Worker, routed: &Routed) {
        let captures = treatment::captures(worker, &self.subject(routed));
        if self.recording.is_none() && !captures.is_empty() {
            let recording = Recording::early(routed.client.local());
            recording.bytes(Stream::FromClient, &routed.seen);
            routed.client.tap(&recording, Side::Client);
            self.recording = Some(recording);
        }
        if let Some(recording) = &self.recording {
            recording.is_wanted_by(&captures);
        }
    }

    /// It has a server.
    pub(super) fn is_captured(&self, connected: &Connected) {
        let Some(recording) = &self.recording else { return };
        connected.socket.tap(recording, Side::Upstream);
        recording.begin(&self.about(recording, Some(connected)));
    }

    /// These want to know of it from now on, and no others.
    pub(super) fn capture(&mut self, connected: &Connected, captures: &[Arc<Capture>]) {
        if self.recording.is_none() && captures.is_empty() {
            return;
        }
        let client = &connected.routed.client;
        let recording = self.recording.get_or_insert_with(|| Recording::new(client.local()));
        client.tap(recording, Side::Client);
        connected.socket.tap(recording, Side::Upstream);
        let recording = Rc::clone(recording);
        recording.follow(captures, &self.about(&recording, Some(connected)));
    }

    /// It has ended.
    pub(super) fn end_capture(&self, duration: Duration) {
        let Some(recording) = &self.recording else { return };
        let how = format!(
            "{}; {} bytes up, {} bytes down, {}",
            self.outcome,
            self.up.total(),
            self.down.total(),
            period(duration)
        );
        recording.end(self.outcome, &how, || {
            // Whose route was never found out is its listener's.
            recording
                .is_wanted_for_want_of_others(self.listener.treatment.as_deref().map_or(&[], |own| own.captures()));
            self.about(recording, None)
        });
    }

    fn about(&self, recording: &Recording, connected: Option<&Connected>) -> About {
        let upstream = connected.map(|connected| [connected.socket.local(), connected.place.server().peer().address()]);
        About {
            connection: self.id,
            client: [self.client, recording.local()],
            upstream,
            text: self.words(connected),
        }
    }

    /// For who looks at it in Wireshark.
    fn words(&self, connected: Option<&Connected>) -> String {
        let mut words = vec![
            format!("connection {}", self.id),
            format!("listener {}", self.listener.name),
        ];
        let mut say = |key: &str, value: Option<String>| words.extend(value.map(|value| format!("{key} {value}")));
        let client = self.client.as_ref().map(SocketAddr::to_string);
        say("client", client.or_else(|| Some("on a unix socket".to_owned())));
        say("SNI", self.sni(connected));
        say("route", self.route().map(str::to_owned));
        say(
            "upstream",
            self.upstream.as_ref().map(|upstream| upstream.name().to_string()),
        );
        say("server", self.server.as_ref().map(|server| server.peer().to_string()));
        let filters: Vec<&str> = self.listener.filters.iter().map(|filter| &**filter.name()).collect();
        say("filters", (!filters.is_empty()).then(|| filters.join(", ")));
        if let Some(connected) = connected {
            say("with the client", tls(&connected.routed.client));
            say("with the server", tls(&connected.socket));
        }
        words.join("; ")
    }

    /// What it has asked for in TLS, whoever has decrypted it, or only looked.
    fn sni(&self, connected: Option<&Connected>) -> Option<String> {
        if let Some(Value::Text(name)) = self.facts.as_ref().and_then(|facts| facts.known_as("tls.sni")) {
            return Some(name);
        }
        let session = connected?.routed.client.session()?;
        session.established().sni().map(str::to_owned)
    }
}

fn tls(channel: &Channel) -> Option<String> {
    let established = channel.session()?.established();
    Some(format!("{}, decrypted", established.version()))
}
