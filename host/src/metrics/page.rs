//! The page: OpenMetrics 1.0, which Prometheus reads as well as its own older format.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

use super::family::Families;
use super::{Snapshot, custom, filters, listeners, mirrors, process, upstreams};

/// What a page is, as HTTP calls it.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// # Errors
/// The library has its reasons.
pub fn page(snapshot: Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(snapshot));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

impl Collector for Snapshot {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut families = Families(&mut encoder);
        listeners::write(&self.listeners, &mut families)?;
        upstreams::write(&self.upstreams, self.left_out, &mut families)?;
        mirrors::write(&self.upstreams, &mut families)?;
        filters::write(&self.filters, &mut families)?;
        custom::write(&self.filters, &mut families)?;
        process::write(self.process.as_ref(), &mut families)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Custom, FilterSeen, GenerationSeen, ListenerSeen};
    use super::*;
    use crate::filter::{BUCKETS, End, FailureKind, Reading, Role, Totals, Verdict};
    use crate::flow::Side;
    use crate::observe::{Moved, Seen, Sums};
    use crate::outcome::{Cause, Outcome, Stage};
    use crate::upstream::{ServerSeen, State, UpstreamSeen};

    fn lines(snapshot: Snapshot) -> Vec<String> {
        page(snapshot).unwrap().lines().map(str::to_owned).collect()
    }

    /// Without what says what families mean.
    fn samples(snapshot: Snapshot) -> Vec<String> {
        let mut lines = lines(snapshot);
        lines.retain(|line| !line.starts_with('#'));
        lines
    }

    fn filter(custom: Vec<Custom>) -> FilterSeen {
        FilterSeen {
            name: "guard".to_owned(),
            transitions: Vec::new(),
            generations: Vec::new(),
            custom,
        }
    }

    fn of_filters(filters: Vec<FilterSeen>) -> Snapshot {
        Snapshot {
            filters,
            ..Snapshot::default()
        }
    }

    /// Five connections, of which three have ended if `seen` says so.
    fn of_listener(seen: Seen) -> Snapshot {
        let down = Moved {
            spliced: 7,
            ..Moved::default()
        };
        let sums = Sums {
            connections: 1,
            down,
            ..Sums::default()
        };
        let listener = ListenerSeen {
            name: "front".to_owned(),
            accepted: 5,
            seen,
            routes: [("by-name".to_owned(), sums)].into(),
        };
        Snapshot {
            listeners: vec![listener],
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_page_about_nothing_is_a_page() {
        assert_eq!(lines(Snapshot::default()), ["# EOF"]);
    }

    #[test]
    fn a_listener_tells_how_connections_ended_and_which_way_bytes_went() {
        let mut seen = Seen {
            connections: 3,
            up: Moved {
                copied: 1,
                spliced: 2,
                filtered: 3,
            },
            ..Seen::default()
        };
        let finished = Outcome::new(Stage::Relay, Cause::Finished, Side::Client);
        seen.outcomes.insert(finished, 3);
        seen.detection.connections = 2;
        seen.detection.waited = Duration::from_millis(1500);
        let mut page = lines(of_listener(seen));
        let times = ["spliceway_connect_", "spliceway_first_byte_", "spliceway_connection_"];
        page.retain(|line| !times.iter().any(|name| line.contains(name)));
        let expected = r#"
# HELP spliceway_connections_accepted Connections that have begun.
# TYPE spliceway_connections_accepted counter
spliceway_connections_accepted_total{listener="front"} 5
# HELP spliceway_connections_open Connections that have not ended.
# TYPE spliceway_connections_open gauge
spliceway_connections_open{listener="front"} 2.0
# HELP spliceway_connections Connections that have ended, by stage, cause and side.
# TYPE spliceway_connections counter
spliceway_connections_total{listener="front",outcome="relay.finished.client"} 3
# HELP spliceway_bytes Bytes of connections that have ended: up is from clients to servers; filtered bytes were shown to filters.
# TYPE spliceway_bytes counter
spliceway_bytes_total{listener="front",direction="up",path="copied"} 1
spliceway_bytes_total{listener="front",direction="up",path="spliced"} 2
spliceway_bytes_total{listener="front",direction="up",path="filtered"} 3
spliceway_bytes_total{listener="front",direction="down",path="copied"} 0
spliceway_bytes_total{listener="front",direction="down",path="spliced"} 0
spliceway_bytes_total{listener="front",direction="down",path="filtered"} 0
# HELP spliceway_route_connections Connections that took the route and have ended.
# TYPE spliceway_route_connections counter
spliceway_route_connections_total{listener="front",route="by-name"} 1
# HELP spliceway_route_bytes Their bytes.
# TYPE spliceway_route_bytes counter
spliceway_route_bytes_total{listener="front",route="by-name",direction="up",path="copied"} 0
spliceway_route_bytes_total{listener="front",route="by-name",direction="up",path="spliced"} 0
spliceway_route_bytes_total{listener="front",route="by-name",direction="up",path="filtered"} 0
spliceway_route_bytes_total{listener="front",route="by-name",direction="down",path="copied"} 0
spliceway_route_bytes_total{listener="front",route="by-name",direction="down",path="spliced"} 7
spliceway_route_bytes_total{listener="front",route="by-name",direction="down",path="filtered"} 0
# HELP spliceway_detections Connections whose first bytes were waited for.
# TYPE spliceway_detections counter
spliceway_detections_total{listener="front"} 2
# HELP spliceway_detection_timeouts Those of them that had not said enough in time.
# TYPE spliceway_detection_timeouts counter
spliceway_detection_timeouts_total{listener="front"} 0
# HELP spliceway_detection_seconds How long they were waited for, all together.
# TYPE spliceway_detection_seconds counter
spliceway_detection_seconds_total{listener="front"} 1.5
# EOF"#;
        assert_eq!(page.join("\n"), expected.trim_start());
    }

    #[test]
    fn a_listener_tells_how_long_connections_took() {
        let mut seen = Seen::default();
        seen.times.connect.add(Duration::from_micros(300));
        seen.times.connect.add(Duration::from_secs(6));
        let page = samples(of_listener(seen));
        let of = |name: &str| -> Vec<_> { page.iter().filter(|line| line.starts_with(name)).cloned().collect() };
        let expected = r#"
spliceway_connect_seconds_sum{listener="front"} 6.0003
spliceway_connect_seconds_count{listener="front"} 2
spliceway_connect_seconds_bucket{le="0.00025",listener="front"} 0
spliceway_connect_seconds_bucket{le="0.0005",listener="front"} 1
spliceway_connect_seconds_bucket{le="0.001",listener="front"} 1
spliceway_connect_seconds_bucket{le="0.005",listener="front"} 1
spliceway_connect_seconds_bucket{le="0.025",listener="front"} 1
spliceway_connect_seconds_bucket{le="0.1",listener="front"} 1
spliceway_connect_seconds_bucket{le="0.25",listener="front"} 1
spliceway_connect_seconds_bucket{le="1.0",listener="front"} 1
spliceway_connect_seconds_bucket{le="3.0",listener="front"} 1
spliceway_connect_seconds_bucket{le="5.0",listener="front"} 1
spliceway_connect_seconds_bucket{le="+Inf",listener="front"} 2"#;
        assert_eq!(of("spliceway_connect_").join("\n"), expected.trim_start());
        assert_eq!(
            of("spliceway_first_byte_seconds_count"),
            [r#"spliceway_first_byte_seconds_count{listener="front"} 0"#]
        );
        assert_eq!(of("spliceway_connection_duration_seconds_").len(), 13);
    }

    #[test]
    fn an_upstream_tells_of_itself_and_of_its_servers() {
        let sums = Sums {
            connections: 2,
            ..Sums::default()
        };
        let server = ServerSeen {
            address: "127.0.0.1:1".to_owned(),
            host: "127.0.0.1".to_owned(),
            is_found: false,
            state: State::Ejected,
            health: State::Up,
            ejected: None,
            weight: 1,
            configured_weight: 1,
            backup: false,
            share: 0.0,
            open: 1,
            most: None,
            connected: 3,
            refused: 4,
            sums,
            transitions: 5,
            ejections: 2,
        };
        let mut upstream = UpstreamSeen {
            name: "only".into(),
            open: 6,
            sums,
            waiting: 5,
            servers: vec![server],
            ..UpstreamSeen::default()
        };
        upstream.retries.granted = 7;
        upstream.retries.denied = 8;
        upstream.retries.left = 0.5;
        let mut page = samples(Snapshot {
            upstreams: vec![upstream],
            left_out: 9,
            ..Snapshot::default()
        });
        page.retain(|line| !line.contains("_bytes_total"));
        let expected = r#"
spliceway_upstream_connections_open{upstream="only"} 6.0
spliceway_upstream_connections_total{upstream="only"} 2
spliceway_upstream_queue_length{upstream="only"} 5.0
spliceway_upstream_retries_total{upstream="only"} 7
spliceway_upstream_retries_denied_total{upstream="only"} 8
spliceway_upstream_retry_budget{upstream="only"} 0.5
spliceway_upstream_servers{upstream="only",state="up"} 0.0
spliceway_upstream_servers{upstream="only",state="down"} 0.0
spliceway_upstream_servers{upstream="only",state="ejected"} 1.0
spliceway_upstream_servers{upstream="only",state="unknown"} 0.0
spliceway_upstream_servers{upstream="only",state="draining"} 0.0
spliceway_upstream_servers{upstream="only",state="disabled"} 0.0
spliceway_server_up{upstream="only",server="127.0.0.1:1"} 0.0
spliceway_server_share_ratio{upstream="only",server="127.0.0.1:1"} 0.0
spliceway_server_connections_open{upstream="only",server="127.0.0.1:1"} 1.0
spliceway_server_connections_total{upstream="only",server="127.0.0.1:1"} 2
spliceway_server_connects_total{upstream="only",server="127.0.0.1:1"} 3
spliceway_server_connect_failures_total{upstream="only",server="127.0.0.1:1"} 4
spliceway_server_transitions_total{upstream="only",server="127.0.0.1:1"} 5
spliceway_server_ejections_total{upstream="only",server="127.0.0.1:1"} 2
spliceway_servers_left_out 9.0"#;
        assert_eq!(page.join("\n"), expected.trim_start());
    }

    #[test]
    fn a_generation_tells_what_it_has_done() {
        let mut totals = Totals {
            shown: 100,
            skipped: 50,
            time: Duration::from_micros(9),
            instances: 2,
            memory: 131_072,
            ..Totals::default()
        };
        totals.calls[Role::Inspector as usize] = 24;
        totals.verdicts[Role::Inspector as usize][Verdict::Forward as usize] = 20;
        totals.verdicts[Role::Router as usize][Verdict::Route as usize] = 1;
        totals.failures[FailureKind::Trap as usize] = 4;
        totals.ends[End::Refused as usize] = 1;
        totals.times[1] = 2;
        totals.times[BUCKETS.len()] = 1;
        let generation = GenerationSeen {
            number: "7".to_owned(),
            digest: "sha256:00".to_owned(),
            state: "serving",
            totals,
        };
        let filter = FilterSeen {
            transitions: vec![("published", 7)],
            generations: vec![generation],
            ..filter(Vec::new())
        };
        let expected = r#"
spliceway_filter_info{filter="guard",generation="7",digest="sha256:00",state="serving"} 1
spliceway_filter_transitions_total{filter="guard",transition="published"} 7
spliceway_filter_calls_total{filter="guard",generation="7",role="inspector"} 24
spliceway_filter_verdicts_total{filter="guard",generation="7",role="router",verdict="route"} 1
spliceway_filter_verdicts_total{filter="guard",generation="7",role="inspector",verdict="forward"} 20
spliceway_filter_failures_total{filter="guard",generation="7",kind="trap"} 4
spliceway_filter_failures_total{filter="guard",generation="7",kind="deadline"} 0
spliceway_filter_failures_total{filter="guard",generation="7",kind="memory"} 0
spliceway_filter_failures_total{filter="guard",generation="7",kind="contract"} 0
spliceway_filter_failures_total{filter="guard",generation="7",kind="init"} 0
spliceway_filter_failures_total{filter="guard",generation="7",kind="budget"} 0
spliceway_filter_call_seconds_sum{filter="guard",generation="7"} 0.000009
spliceway_filter_call_seconds_count{filter="guard",generation="7"} 3
spliceway_filter_call_seconds_bucket{le="5e-7",filter="guard",generation="7"} 0
spliceway_filter_call_seconds_bucket{le="0.000001",filter="guard",generation="7"} 2
spliceway_filter_call_seconds_bucket{le="0.000002",filter="guard",generation="7"} 2
spliceway_filter_call_seconds_bucket{le="0.000005",filter="guard",generation="7"} 2
spliceway_filter_call_seconds_bucket{le="0.00001",filter="guard",generation="7"} 2
spliceway_filter_call_seconds_bucket{le="0.00005",filter="guard",generation="7"} 2
spliceway_filter_call_seconds_bucket{le="0.00025",filter="guard",generation="7"} 2
spliceway_filter_call_seconds_bucket{le="0.001",filter="guard",generation="7"} 2
spliceway_filter_call_seconds_bucket{le="0.005",filter="guard",generation="7"} 2
spliceway_filter_call_seconds_bucket{le="0.025",filter="guard",generation="7"} 2
spliceway_filter_call_seconds_bucket{le="0.5",filter="guard",generation="7"} 2
spliceway_filter_call_seconds_bucket{le="+Inf",filter="guard",generation="7"} 3
spliceway_filter_shown_bytes_total{filter="guard",generation="7"} 100
spliceway_filter_skipped_bytes_total{filter="guard",generation="7"} 50
spliceway_filter_connections_total{filter="guard",generation="7",end="usual"} 0
spliceway_filter_connections_total{filter="guard",generation="7",end="refused"} 1
spliceway_filter_connections_total{filter="guard",generation="7",end="early"} 0
spliceway_filter_instances{filter="guard",generation="7"} 2.0
spliceway_filter_memory_bytes{filter="guard",generation="7"} 131072.0"#;
        assert_eq!(samples(of_filters(vec![filter])).join("\n"), expected.trim_start());
    }

    #[test]
    fn one_call_in_so_many_is_timed_and_the_help_says_so() {
        let filter = FilterSeen {
            generations: vec![GenerationSeen {
                number: "1".to_owned(),
                digest: String::new(),
                state: "serving",
                totals: Totals::default(),
            }],
            ..filter(Vec::new())
        };
        let page = page(of_filters(vec![filter])).unwrap();
        assert!(
            page.contains("# HELP spliceway_filter_call_seconds How long calls took, of one in 8.\n"),
            "{page}"
        );
    }

    #[test]
    fn what_filters_count_is_one_family_for_all_of_them() {
        let custom = |family: &str, help: &str, reading| Custom {
            family: family.to_owned(),
            help: help.to_owned(),
            reading,
        };
        let first = filter(vec![
            custom("hits", "say \"hits\",\nor \\", Reading::Counter(u64::MAX)),
            custom("load", "", Reading::Gauge(f64::NAN)),
        ]);
        let second = FilterSeen {
            name: "audit".to_owned(),
            ..filter(vec![
                custom("size", "Sizes", {
                    Reading::Histogram {
                        sum: 3.5,
                        buckets: vec![(0.5, 1), (2.0, 0), (f64::INFINITY, 2)],
                    }
                }),
                custom("hits", "another help", Reading::Counter(1)),
            ])
        };
        let expected = r#"
# HELP spliceway_custom_hits say \"hits\",\nor \\
# TYPE spliceway_custom_hits counter
spliceway_custom_hits_total{filter="guard"} 18446744073709551615
spliceway_custom_hits_total{filter="audit"} 1
# HELP spliceway_custom_load 
# TYPE spliceway_custom_load gauge
spliceway_custom_load{filter="guard"} NaN
# HELP spliceway_custom_size Sizes
# TYPE spliceway_custom_size histogram
spliceway_custom_size_sum{filter="audit"} 3.5
spliceway_custom_size_count{filter="audit"} 3
spliceway_custom_size_bucket{le="0.5",filter="audit"} 1
spliceway_custom_size_bucket{le="2.0",filter="audit"} 1
spliceway_custom_size_bucket{le="+Inf",filter="audit"} 3
# EOF"#;
        assert_eq!(lines(of_filters(vec![first, second])).join("\n"), expected.trim_start());
    }

    #[test]
    fn nobody_can_write_a_line_of_his_own() {
        let name = "a\"} 1\nspliceway_bytes_total{x=\"\\".to_owned();
        let filter = FilterSeen {
            name,
            transitions: vec![("published", 1)],
            ..filter(Vec::new())
        };
        assert_eq!(
            samples(of_filters(vec![filter])),
            [concat!(
                r#"spliceway_filter_transitions_total{filter="a\"} 1\nspliceway_bytes_total{x=\"\\","#,
                r#"transition="published"} 1"#
            )]
        );
    }
}
