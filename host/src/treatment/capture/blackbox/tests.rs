use super::*;
use crate::config::CaptureLegs;
use crate::treatment::capture::event::{Leg, Stream};

fn black_box(room: u64) -> BlackBox {
    let leg = |time| Leg {
        time: Duration::from_secs(time),
        addresses: [None; 2],
    };
    let began = Began {
        connection: 1,
        legs: CaptureLegs::Both,
        client: leg(1),
        upstream: Some(leg(2)),
        at: [0; 4],
        about: "connection 1".into(),
    };
    BlackBox::new(began, room)
}

fn bytes(time: u64, stream: Stream, at: u64, kept: &[u8]) -> Event {
    Event {
        flow: 1,
        time: Duration::from_secs(time),
        what: What::Bytes {
            stream,
            at,
            length: kept.len(),
            kept: kept.into(),
        },
    }
}

#[test]
fn the_last_bytes_are_kept_and_the_capture_begins_with_the_first_of_them() {
    let mut black_box = black_box(10);
    for time in 10..20 {
        black_box.add(bytes(time, Stream::FromClient, (time - 10) * 4, b"four"));
    }
    let mut all = black_box.open(7, Duration::from_secs(99));
    let What::Began(began) = all.next().unwrap().what else {
        panic!("no beginning")
    };
    assert_eq!(began.at, [32, 0, 0, 0]);
    assert!(began.about.contains("32 bytes before are forgotten"), "{}", began.about);
    assert_eq!(began.client.time, Duration::from_secs(18));
    assert_eq!(began.upstream.unwrap().time, Duration::from_secs(18));
    let kept: Vec<_> = all.map(|event| event.time.as_secs()).collect();
    assert_eq!(kept, [18, 19]);
}

#[test]
fn ends_are_not_forgotten() {
    let mut black_box = black_box(4);
    black_box.add(Event {
        flow: 1,
        time: Duration::from_secs(3),
        what: What::Finished(Stream::FromClient),
    });
    for at in 0..10 {
        black_box.add(bytes(4, Stream::FromUpstream, at * 4, b"four"));
    }
    let all: Vec<_> = black_box.open(7, Duration::from_secs(99)).collect();
    assert!(
        all.iter()
            .any(|event| matches!(event.what, What::Finished(Stream::FromClient)))
    );
    assert_eq!(all.len(), 3);
}

#[test]
fn what_is_short_is_kept_whole() {
    let mut black_box = black_box(100);
    black_box.add(bytes(3, Stream::FromClient, 0, b"question"));
    let all: Vec<_> = black_box.open(7, Duration::from_secs(99)).collect();
    let What::Began(began) = &all[0].what else {
        panic!("no beginning")
    };
    assert_eq!(
        (&*began.about, began.client.time),
        ("connection 1", Duration::from_secs(1))
    );
}
