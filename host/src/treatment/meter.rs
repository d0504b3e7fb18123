//! One connection's part of a bucket: whether it has its turn.

use std::sync::Arc;

use super::bucket::Bucket;
use super::clock::Nanos;

/// How long somebody who has his turn may keep others waiting with it, or his place while he is not there.
const SLACK: Nanos = 100_000_000;

#[derive(Debug)]
pub struct Meter {
    bucket: Arc<Bucket>,
    state: State,
    /// When it would have its turn if all who share the bucket used it. Those whom their timers have kept waiting catch up by it.
    fair: Nanos,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Its turn comes then. Whether it waits for it, or has nothing to send for now.
    Queued { turn: Nanos, waits: bool },
    /// It may go on with so many bytes, until then.
    HasTurn { until: Nanos, left: u64 },
}

/// What is less than this part of a turn is not worth a read: the next one has it.
const WORTH_A_READ: u64 = 8;

impl Meter {
    /// Behind those who share it already.
    pub fn new(bucket: Arc<Bucket>) -> Self {
        let turn = bucket.next();
        Self {
            bucket,
            state: State::Queued { turn, waits: true },
            fair: turn,
        }
    }

    /// `None`: its turn is now. Else when it is.
    pub fn waits_until(&mut self, now: Nanos) -> Option<Nanos> {
        let turn = match self.state {
            State::HasTurn { until, .. } if now <= until => return None,
            // It had nothing to send when its turn was: it is as if it had come now.
            State::HasTurn { .. } => self.bucket.next(),
            State::Queued { turn, waits: false } if now > turn.saturating_add(SLACK) => self.bucket.next(),
            State::Queued { turn, .. } => turn,
        };
        let has_turn = turn <= now;
        self.state = match has_turn {
            true => State::HasTurn {
                until: now + SLACK,
                left: self.whole_turn(),
            },
            false => State::Queued { turn, waits: true },
        };
        (!has_turn).then_some(turn)
    }

    /// Bytes a second.
    pub fn rate(&self) -> u64 {
        self.bucket.rate()
    }

    /// How much may go now.
    pub fn most(&self) -> u64 {
        match self.state {
            State::HasTurn { left, .. } => left,
            State::Queued { .. } => self.whole_turn(),
        }
    }

    /// A read may give less than it is asked for, whose sender is not to have less than others for that: it goes on.
    pub fn took(&mut self, now: Nanos, bytes: u64) {
        let paid = self.bucket.pay(now, bytes);
        let fair = self.fair.max(now.saturating_sub(SLACK));
        self.fair = fair.saturating_add(self.bucket.time(bytes.saturating_mul(self.sharers())));
        // What others do not use is there for whoever does.
        let turn = paid.min(self.fair);
        let worth = self.whole_turn() / WORTH_A_READ;
        self.state = match self.state {
            State::HasTurn { until, left } if left.saturating_sub(bytes) > worth => State::HasTurn {
                until,
                left: left - bytes,
            },
            _ => State::Queued { turn, waits: false },
        };
    }

    fn whole_turn(&self) -> u64 {
        self.bucket.turn(self.sharers())
    }

    fn sharers(&self) -> u64 {
        // Whoever made the bucket may keep it to share it.
        (Arc::strong_count(&self.bucket) as u64 - 1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    /// Somebody who sends whenever it is his turn, and what he has sent.
    struct Sender {
        meter: Meter,
        sent: u64,
        /// What he can send in a turn.
        most: u64,
        from: Nanos,
    }

    /// Lets them send for so long, each as late as a timer may be.
    fn run(senders: &mut [Sender], until: Nanos, late: Nanos) {
        let mut now = 0;
        while now < until {
            for sender in senders.iter_mut().filter(|sender| sender.from <= now) {
                while sender.meter.waits_until(now).is_none() {
                    let bytes = sender.meter.most().min(sender.most);
                    sender.meter.took(now, bytes);
                    sender.sent += bytes;
                }
            }
            now += late;
        }
    }

    fn sender(bucket: &Arc<Bucket>, most: u64, from: Nanos) -> Sender {
        Sender {
            meter: Meter::new(Arc::clone(bucket)),
            sent: 0,
            most,
            from,
        }
    }

    proptest! {
        #[test]
        fn a_rate_is_kept_within_a_fiftieth_whoever_shares_it(
            rate in 65_536_u64..700_000_000,
            count in 1_usize..20,
            late in 500_000_u64..10_000_000,
        ) {
            let bucket = Arc::new(Bucket::new(rate, None, 0));
            let mut senders: Vec<_> = (0..count).map(|_| sender(&bucket, u64::MAX, 0)).collect();
            run(&mut senders, 5 * SECOND, late);
            let sent: u64 = senders.iter().map(|sender| sender.sent).sum();
            let wanted = rate as f64 * 5.0;
            // Those who come together have a turn each.
            let more = (count as u64 * bucket.turn(count as u64)) as f64;
            prop_assert!(sent as f64 >= wanted * 0.98, "{sent} of {wanted}");
            prop_assert!(sent as f64 <= wanted * 1.02 + more, "{sent} of {wanted}");
        }

        #[test]
        fn those_who_share_it_get_the_same(
            rate in 1_000_000_u64..700_000_000,
            count in 2_usize..10,
            late in 500_000_u64..5_000_000,
        ) {
            let bucket = Arc::new(Bucket::new(rate, None, 0));
            // They do not begin together.
            let mut senders: Vec<_> = (0..count)
                .map(|n| sender(&bucket, u64::MAX, n as u64 * SECOND / 20))
                .collect();
            run(&mut senders, SECOND, late);
            senders.iter_mut().for_each(|sender| sender.sent = 0);
            let from = senders.iter().map(|sender| sender.meter.bucket.next()).max().unwrap();
            let mut now = from;
            while now < from + 10 * SECOND {
                for sender in &mut senders {
                    while sender.meter.waits_until(now).is_none() {
                        let bytes = sender.meter.most();
                        sender.meter.took(now, bytes);
                        sender.sent += bytes;
                    }
                }
                now += late;
            }
            let least = senders.iter().map(|sender| sender.sent).min().unwrap() as f64;
            let most = senders.iter().map(|sender| sender.sent).max().unwrap() as f64;
            prop_assert!(least >= most * 0.95 - bucket.turn(1) as f64, "{least} to {most}");
        }
    }

    #[test]
    fn what_one_does_not_use_others_get() {
        let bucket = Arc::new(Bucket::new(10 << 20, None, 0));
        let mut senders = [sender(&bucket, u64::MAX, 0), sender(&bucket, 1_000, 0)];
        run(&mut senders, 5 * SECOND, 1_000_000);
        let [greedy, modest] = senders.map(|sender| sender.sent);
        assert!(modest > 20_000, "{modest}");
        let sum = (greedy + modest) as f64;
        assert!((0.98..1.03).contains(&(sum / (50.0 * 1048576.0))), "{sum}");
    }

    /// A crowd that was silent has no more at once than one of them had.
    #[test]
    fn a_turn_that_nobody_used_is_gone() {
        let bucket = Arc::new(Bucket::new(1 << 20, None, 0));
        let mut meters: Vec<_> = (0..100).map(|_| Meter::new(Arc::clone(&bucket))).collect();
        for meter in &mut meters {
            assert!(meter.waits_until(SECOND).is_none());
        }
        // A minute later all of them have something to send.
        let now = 61 * SECOND;
        let sent: u64 = meters
            .iter_mut()
            .filter_map(|meter| {
                meter.waits_until(now).is_none().then(|| {
                    meter.took(now, meter.most());
                    meter.most()
                })
            })
            .sum();
        assert!(sent <= (1 << 20) / 10, "{sent}");
    }
}
