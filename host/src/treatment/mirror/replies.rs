//! Whether a mirror replies as the primary does: byte by byte, whichever of them is ahead.

use std::collections::VecDeque;

/// How much the mirror may say that the primary has not said yet: from here on it is not read.
const ROOM: usize = 64 << 10;

/// How much is told of what differs.
const TOLD: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Primary,
    Mirror,
}

/// What has come of comparing them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Equal,
    Different(Difference),
    /// One of them was cut off before the end, or the mirror was too far behind.
    Unknown,
}

/// From the first byte that differs on, up to 16 of each; none where one has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// So many were the same.
    pub at: u64,
    pub primary: Vec<u8>,
    pub mirror: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Replies {
    /// What `who` has said and the other one has not yet.
    ahead: VecDeque<u8>,
    who: Who,
    /// So many were the same.
    at: u64,
    /// How far the primary may be ahead.
    lag: usize,
    ended: [bool; 2],
    verdict: Option<Verdict>,
}

impl Replies {
    pub fn new(lag: usize) -> Self {
        Self {
            ahead: VecDeque::new(),
            who: Who::Primary,
            at: 0,
            lag,
            ended: [false; 2],
            verdict: None,
        }
    }

    /// Whether there is no more to find out.
    pub fn is_decided(&self) -> bool {
        self.verdict.is_some()
    }

    /// Whether the mirror is to be read.
    pub fn has_room(&self) -> bool {
        self.is_decided() || self.who == Who::Primary || self.ahead.len() < ROOM
    }

    pub fn said(&mut self, who: Who, mut bytes: &[u8]) {
        if self.is_decided() {
            return;
        }
        if self.who != who {
            let same = self.ahead.iter().zip(bytes).take_while(|(ahead, said)| ahead == said);
            let same = same.count();
            self.at += same as u64;
            self.ahead.drain(..same);
            bytes = &bytes[same..];
            if !self.ahead.is_empty() && !bytes.is_empty() {
                return self.differ(who, bytes);
            }
        }
        if bytes.is_empty() {
            return;
        }
        if self.ended[other(who) as usize] {
            return self.differ(who, bytes);
        }
        self.who = who;
        self.ahead.extend(bytes);
        if who == Who::Primary && self.ahead.len() > self.lag {
            self.decide(Verdict::Unknown);
        }
    }

    pub fn ended(&mut self, who: Who) {
        self.ended[who as usize] = true;
        if self.is_decided() {
            return;
        }
        if self.who != who && !self.ahead.is_empty() {
            return self.differ(who, &[]);
        }
        if self.ended == [true; 2] {
            self.decide(Verdict::Equal);
        }
    }

    /// Both are over, or the mirror is.
    pub fn into_verdict(self) -> Verdict {
        self.verdict.unwrap_or(Verdict::Unknown)
    }

    /// `who` goes on with `bytes` where the other one has something else, or nothing.
    fn differ(&mut self, who: Who, bytes: &[u8]) {
        let said = bytes.iter().take(TOLD).copied().collect();
        let ahead = self.ahead.iter().take(TOLD).copied().collect();
        let (primary, mirror) = match who {
            Who::Primary => (said, ahead),
            Who::Mirror => (ahead, said),
        };
        let at = self.at;
        self.decide(Verdict::Different(Difference { at, primary, mirror }));
    }

    fn decide(&mut self, verdict: Verdict) {
        self.ahead = VecDeque::new();
        self.verdict = Some(verdict);
    }
}

fn other(who: Who) -> Who {
    match who {
        Who::Primary => Who::Mirror,
        Who::Mirror => Who::Primary,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn different(at: u64, primary: &[u8], mirror: &[u8]) -> Verdict {
        Verdict::Different(Difference {
            at,
            primary: primary.to_vec(),
            mirror: mirror.to_vec(),
        })
    }

    /// Whoever says what when, in pieces of `sizes`, and whoever of them ends first.
    fn compared(primary: &[u8], mirror: &[u8], sizes: [usize; 2]) -> Verdict {
        let mut replies = Replies::new(1 << 20);
        let mut left = [primary.chunks(sizes[0]), mirror.chunks(sizes[1])];
        for who in [Who::Primary, Who::Mirror].into_iter().cycle() {
            match left[who as usize].next() {
                Some(piece) => replies.said(who, piece),
                None if replies.ended[who as usize] => break,
                None => replies.ended(who),
            }
        }
        // Whoever had more to say when the other one had ended.
        for who in [Who::Primary, Who::Mirror] {
            left[who as usize].by_ref().for_each(|piece| replies.said(who, piece));
            replies.ended(who);
        }
        replies.into_verdict()
    }

    #[test]
    fn it_does_not_depend_on_how_replies_are_cut() {
        for sizes in [[1, 1], [1, 5], [5, 1], [3, 2], [100, 100]] {
            assert_eq!(compared(b"+PONG\r\n", b"+PONG\r\n", sizes), Verdict::Equal, "{sizes:?}");
            let Verdict::Different(difference) = compared(b"+PONG\r\n", b"+PANG\r\n", sizes) else {
                panic!("they differ, {sizes:?}");
            };
            assert_eq!(difference.at, 2);
            assert_eq!((difference.primary[0], difference.mirror[0]), (b'O', b'A'));
        }
    }

    #[test]
    fn one_that_ends_early_differs_where_it_ends() {
        assert_eq!(compared(b"all of it", b"all", [9, 9]), different(3, b" of it", b""));
        assert_eq!(compared(b"", b"more", [9, 9]), different(0, b"", b"more"));
        assert_eq!(compared(b"", b"", [9, 9]), Verdict::Equal);
    }

    #[test]
    fn little_is_told_of_what_differs() {
        let (primary, mirror) = ([b'a'; 100], [b'b'; 100]);
        assert_eq!(
            compared(&primary, &mirror, [100, 100]),
            different(0, &primary[..TOLD], &mirror[..TOLD])
        );
    }

    #[test]
    fn a_mirror_too_far_behind_is_not_waited_for() {
        let mut replies = Replies::new(10);
        replies.said(Who::Primary, &[0; 10]);
        assert!(!replies.is_decided());
        replies.said(Who::Primary, &[0; 1]);
        assert!(replies.is_decided());
        assert_eq!(replies.into_verdict(), Verdict::Unknown);
    }

    #[test]
    fn a_mirror_too_far_ahead_is_not_read() {
        let mut replies = Replies::new(10);
        replies.said(Who::Mirror, &[0; ROOM]);
        assert!(!replies.has_room());
        replies.said(Who::Primary, &[0; 10]);
        assert!(replies.has_room());
    }

    #[test]
    fn nothing_is_said_of_replies_that_were_cut_off() {
        let mut replies = Replies::new(10);
        replies.said(Who::Primary, b"same");
        replies.said(Who::Mirror, b"same");
        replies.ended(Who::Mirror);
        assert_eq!(replies.into_verdict(), Verdict::Unknown);
    }
}
