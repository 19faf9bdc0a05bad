//! One server's figure over another's, from values that were taken in turns: each round has a ratio of its own, which the host's slow moments
//! touch far less than either value (docs/decisions/0032).

/// How often the true middle of the rounds' ratios would be outside of the bracket, at most.
const DOUBT: f64 = 0.05;

/// The first over the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The geometric mean of the middle half of the rounds' ratios.
    pub value: f64,
    /// Within these the median of all rounds that could be made lies, with 95% certainty; the lowest and the highest if there are too few for that.
    pub low: f64,
    pub high: f64,
}

impl Ratio {
    /// Of the values of the same rounds. None: there are none, or the second is 0.
    #[must_use]
    pub fn of(first: &[f64], second: &[f64]) -> Option<Ratio> {
        let all_positive = |values: &[f64]| values.iter().all(|value| *value > 0.0);
        if first.len() != second.len() || !all_positive(first) || !all_positive(second) {
            // A server that failed a round, or a figure that is 0 at times: percentages lost.
            let value = super::median(first)? / super::median(second).filter(|median| *median > 0.0)?;
            return Some(Ratio { value, low: value, high: value });
        }
        let mut logs: Vec<f64> =
            first.iter().zip(second).map(|(first, second)| (first / second).ln()).collect();
        logs.sort_by(f64::total_cmp);
        let outer = logs.len() / 4;
        let middle = logs.get(outer..logs.len() - outer).filter(|middle| !middle.is_empty())?;
        let rank = rank_of_bracket(logs.len());
        Some(Ratio {
            value: (middle.iter().sum::<f64>() / middle.len() as f64).exp(),
            low: logs[rank].exp(),
            high: logs[logs.len() - 1 - rank].exp(),
        })
    }

    #[must_use]
    pub fn overlaps(&self, other: &Ratio) -> bool {
        self.low <= other.high && other.low <= self.high
    }
}

/// How many of so many sorted values may be left out on each side: the median of what they are a sample of is below the `k`-th with the probability
/// that fewer than `k` of so many coins fall heads.
fn rank_of_bracket(count: usize) -> usize {
    let mut ways = 0.5f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let (mut below, mut rank) = (ways, 0);
    while below <= DOUBT / 2.0 && rank < count / 2 {
        ways *= (count - rank) as f64 / (rank + 1) as f64;
        rank += 1;
        below += ways;
    }
    rank.saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_round_hits_both_and_leaves_their_ratio() {
        let ratio = Ratio::of(&[9.0, 18.0, 9.0], &[10.0, 20.0, 10.0]).unwrap();
        assert!((ratio.value - 0.9).abs() < 1e-9, "{ratio:?}");
        // Medians of rounds that were slow for one and not for the other would say 1.8.
        let ratio = Ratio::of(&[9.0, 18.0, 18.0, 9.0, 9.2], &[10.0, 20.0, 10.0, 10.0, 10.0]).unwrap();
        assert!((0.9..0.93).contains(&ratio.value), "{ratio:?}");
        assert_eq!((ratio.low, (ratio.high * 10.0).round()), (0.9, 18.0));
    }

    #[test]
    fn the_bracket_is_that_of_the_sign_test() {
        // Tables of confidence intervals for a median: n -> the rank counted from 1.
        for (count, rank) in [(1, 1), (5, 1), (6, 1), (9, 2), (12, 3), (15, 4), (20, 6), (30, 10)] {
            assert_eq!(rank_of_bracket(count) + 1, rank, "of {count}");
        }
    }

    #[test]
    fn what_has_no_rounds_in_common_is_a_ratio_of_medians() {
        let ratio = Ratio::of(&[2.0, 4.0, 6.0], &[2.0]).unwrap();
        assert_eq!((ratio.value, ratio.low, ratio.high), (2.0, 2.0, 2.0));
        assert_eq!(Ratio::of(&[0.0, 0.0], &[1.0, 1.0]).unwrap().value, 0.0);
        assert_eq!(Ratio::of(&[1.0], &[0.0]), None);
        assert_eq!(Ratio::of(&[], &[1.0]), None);
        assert_eq!(Ratio::of(&[], &[]), None);
    }

    #[test]
    fn brackets_that_touch_overlap() {
        let of = |low, high| Ratio { value: low, low, high };
        assert!(of(1.0, 2.0).overlaps(&of(2.0, 3.0)) && of(2.0, 3.0).overlaps(&of(1.0, 2.0)));
        assert!(!of(1.0, 1.9).overlaps(&of(2.0, 3.0)) && !of(2.0, 3.0).overlaps(&of(1.0, 1.9)));
    }
}
