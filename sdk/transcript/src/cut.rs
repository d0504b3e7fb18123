//! The ways in which a network may deliver a case.

use std::fmt;
use std::ops::Range;

use fastrand::Rng;

use crate::{Case, Direction, Step};

/// How many times a case is played in random pieces.
const RANDOM: usize = 32;

/// A case of more bytes than these is not cut at every place ...
const SHORT: usize = 2 << 10;
/// ... but in the first bytes of each chunk, where headers are, in the last, and at some places between them.
const FIRST: usize = 1 << 10;
const LAST: usize = 256;
const BETWEEN: usize = 64;

/// What all variants with one cut have to play together, at the most: about a second for a filter that looks at every byte.
const BUDGET: usize = 32 << 20;
/// A case that uses the budget up with less is still cut so often.
const FEWEST: usize = 16;

/// A case as one network delivers it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Variant {
    /// How it differs from the play.
    pub cut: Cut,
    /// The play, in pieces.
    pub steps: Vec<Step>,
}

/// How a variant differs from the play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Not at all.
    Whole,
    /// A step, counted from 0, comes in two pieces, of which the first has so many bytes.
    At {
        /// Counted from 0, in the play.
        step: usize,
        /// The bytes of the first piece.
        byte: usize,
    },
    /// In single bytes, as far as its places to cut go.
    Bytes,
    /// In pieces of random sizes.
    Random {
        /// That of the run.
        seed: u64,
        /// Which of them.
        number: usize,
    },
}

impl Case {
    /// The whole play; then, unless the case says that it is not to be cut, the play in single bytes, with one cut at each
    /// place, and in random pieces. The same seed gives the same pieces.
    pub fn variants(&self, seed: u64) -> impl Iterator<Item = Variant> + '_ {
        let mut rng = Rng::with_seed(seed);
        let places = if self.cut { self.places(&mut rng) } else { Vec::new() };
        let in_bytes = (!places.is_empty()).then(|| self.variant(Cut::Bytes, &places));
        let random: Vec<Vec<Place>> = match places.len() {
            0 | 1 => Vec::new(),
            _ => (0..RANDOM).map(|_| some(&places, &mut rng)).collect(),
        };
        let single = affordable(&places, self.bytes(), &mut rng);
        let in_two = single.into_iter().map(|place| {
            let cut = Cut::At {
                step: place.step,
                byte: place.byte,
            };
            self.variant(cut, &[place])
        });
        let random = random.into_iter().enumerate();
        let in_pieces = random.map(move |(number, places)| self.variant(Cut::Random { seed, number }, &places));
        [self.variant(Cut::Whole, &[])]
            .into_iter()
            .chain(in_bytes)
            .chain(in_two)
            .chain(in_pieces)
    }

    /// Where it may be cut, in order.
    fn places(&self, rng: &mut Rng) -> Vec<Place> {
        let long = self.bytes() > SHORT;
        let mut places = Vec::new();
        for (step, what) in self.play.iter().enumerate() {
            let Step::Bytes(_, bytes) = what else { continue };
            let mut at = |bytes: Range<usize>| places.extend(bytes.map(|byte| Place { step, byte }));
            let end = bytes.len();
            if long && end > FIRST + LAST {
                at(1..FIRST);
                let mut between: Vec<usize> = (0..BETWEEN).map(|_| rng.usize(FIRST..end - LAST)).collect();
                between.sort_unstable();
                between.dedup();
                between.into_iter().for_each(|byte| at(byte..byte + 1));
                at(end - LAST..end);
            } else {
                at(1..end.max(1));
            }
        }
        places
    }

    fn bytes(&self) -> usize {
        let length = |step: &Step| {
            if let Step::Bytes(_, bytes) = step {
                bytes.len()
            } else {
                0
            }
        };
        self.play.iter().map(length).sum()
    }

    fn variant(&self, cut: Cut, places: &[Place]) -> Variant {
        let mut steps = Vec::with_capacity(self.play.len() + places.len());
        let mut places = places.iter().peekable();
        for (number, step) in self.play.iter().enumerate() {
            let Step::Bytes(direction, bytes) = step else {
                steps.push(step.clone());
                continue;
            };
            let mut from = 0;
            while let Some(place) = places.next_if(|place| place.step == number) {
                steps.push(piece(*direction, &bytes[from..place.byte]));
                from = place.byte;
            }
            steps.push(piece(*direction, &bytes[from..]));
        }
        Variant { cut, steps }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    step: usize,
    byte: usize,
}

fn piece(direction: Direction, bytes: &[u8]) -> Step {
    Step::Bytes(direction, bytes.to_vec())
}

/// Each with the same chance, which is another one each time: few cuts are as likely as many.
fn some(places: &[Place], rng: &mut Rng) -> Vec<Place> {
    let share = rng.f64();
    places.iter().copied().filter(|_| rng.f64() < share).collect()
}

fn affordable(places: &[Place], bytes: usize, rng: &mut Rng) -> Vec<Place> {
    let most = (BUDGET / bytes.max(1)).max(FEWEST);
    if places.len() <= most {
        return places.to_vec();
    }
    let mut chosen = rng.choose_multiple(places.iter().copied(), most);
    chosen.sort_unstable_by_key(|place| (place.step, place.byte));
    chosen
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("whole"),
            Self::At { step, byte } => write!(f, "step {} cut behind byte {byte}", step + 1),
            Self::Bytes => f.write_str("in single bytes"),
            Self::Random { seed, number } => write!(f, "in random pieces (seed {seed}, number {})", number + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(play: Vec<Step>) -> Case {
        let text = "[[case]]\nname = \"x\"\nexpect = {}";
        let mut case = crate::parse("x.toml".as_ref(), text).unwrap().cases.remove(0);
        case.play = play;
        case
    }

    fn up(bytes: &str) -> Step {
        Step::Bytes(Direction::Up, bytes.into())
    }

    fn written(variant: &Variant) -> String {
        let step = |step: &Step| match step {
            Step::Bytes(_, bytes) => String::from_utf8(bytes.clone()).unwrap(),
            other => format!("{other:?}"),
        };
        variant.steps.iter().map(step).collect::<Vec<_>>().join("|")
    }

    #[test]
    fn a_case_is_played_whole_in_bytes_in_two_and_in_random_pieces() {
        let case = case(vec![up("abc"), Step::TimeOut, up("de")]);
        let variants: Vec<Variant> = case.variants(7).collect();
        let written: Vec<String> = variants.iter().map(written).collect();
        assert_eq!(
            written[..5],
            [
                "abc|TimeOut|de",
                "a|b|c|TimeOut|d|e",
                "a|bc|TimeOut|de",
                "ab|c|TimeOut|de",
                "abc|TimeOut|d|e"
            ]
        );
        assert_eq!(variants[3].cut.to_string(), "step 1 cut behind byte 2");
        assert_eq!(written.len(), 5 + RANDOM);
        for written in written {
            assert_eq!(written.replace('|', ""), "abcTimeOutde");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_pieces() {
        let case = case(vec![up("abcdefghijklmnop")]);
        let pieces = |seed| case.variants(seed).map(|variant| written(&variant)).collect::<Vec<_>>();
        assert_eq!(pieces(1), pieces(1));
        assert_ne!(pieces(1), pieces(2));
    }

    #[test]
    fn nothing_is_cut_where_there_is_no_place_or_where_the_case_says_so() {
        for play in [vec![], vec![up("")], vec![up("a"), Step::Full]] {
            assert_eq!(case(play).variants(0).count(), 1);
        }
        let mut whole = case(vec![up("abc")]);
        whole.cut = false;
        assert_eq!(whole.variants(0).count(), 1);
    }

    #[test]
    fn a_long_case_is_cut_in_bounded_time() {
        let case = case(vec![up(&"x".repeat(1 << 20)), up(&"y".repeat(100))]);
        let mut played = 0;
        for variant in case.variants(0) {
            let bytes: usize = variant
                .steps
                .iter()
                .map(|step| usize::from(matches!(step, Step::Bytes(..))))
                .sum();
            assert!(bytes <= FIRST + LAST + BETWEEN + 100 + 2);
            played += 1;
        }
        assert!(played <= 2 + RANDOM + BUDGET / (1 << 20), "{played}");
        let places = case.places(&mut Rng::with_seed(0));
        assert_eq!(places.iter().filter(|place| place.step == 1).count(), 99);
        assert!(
            places.contains(&Place { step: 0, byte: 1 })
                && places.contains(&Place {
                    step: 0,
                    byte: (1 << 20) - 1
                })
        );
    }
}
