//! One server's figure over another's, from values that were taken in turns: each round has a ratio of its own, which the host's slow moments
//! touch far less than either value (docs/decisions/0032).

use super::median;
use super::rounds::Rounds;

/// How often the median of all rounds that could be made is outside of the bracket, at most; of fewer than six rounds a little more often.
const DOUBT: f64 = 0.05;

/// The first over the second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The geometric mean of the middle half of the rounds' ratios.
    pub value: f64,
    /// Where the median of all rounds that could be made lies. None: there is but one round.
    pub bracket: Option<(f64, f64)>,
}

impl Ratio {
    /// Of the rounds that both have. None: there are none, or the second is 0.
    #[must_use]
    pub fn of(first: &Rounds, second: &Rounds) -> Option<Ratio> {
        let pairs: Vec<(f64, f64)> = first.beside(second).collect();
        if pairs.iter().any(|(first, second)| *first <= 0.0 || *second <= 0.0) {
            // A figure that is 0 at times: percentages lost.
            let of = |values: Vec<f64>| median(&values);
            let second = of(pairs.iter().map(|pair| pair.1).collect()).filter(|second| *second > 0.0)?;
            let value = of(pairs.iter().map(|pair| pair.0).collect())? / second;
            return Some(Ratio { value, bracket: None });
        }
        let mut logs: Vec<f64> = pairs.iter().map(|(first, second)| (first / second).ln()).collect();
        logs.sort_by(f64::total_cmp);
        let outer = logs.len() / 4;
        let middle = logs.get(outer..logs.len() - outer).filter(|middle| !middle.is_empty())?;
        Some(Ratio {
            value: (middle.iter().sum::<f64>() / middle.len() as f64).exp(),
            bracket: bracket(&logs).map(|(low, high)| (low.exp(), high.exp())),
        })
    }

    /// Both may be samples of the same; of what has no bracket that is not known to be wrong.
    #[must_use]
    pub fn overlaps(&self, other: &Ratio) -> bool {
        self.bracket.zip(other.bracket).is_none_or(|(own, other)| own.0 <= other.1 && other.0 <= own.1)
    }
}

/// Where the median of what these sorted values are a sample of lies, by the sign test. None: they are too few to say anything.
pub(super) fn bracket(sorted: &[f64]) -> Option<(f64, f64)> {
    let rank = rank_of_bracket(sorted.len());
    (sorted.len() > 1).then(|| (sorted[rank], sorted[sorted.len() - 1 - rank]))
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

    fn ratio<const N: usize>(first: [f64; N], second: [f64; N]) -> Option<Ratio> {
        Ratio::of(&first.into_iter().collect(), &second.into_iter().collect())
    }

    #[test]
    fn a_slow_round_hits_both_and_leaves_their_ratio() {
        let alike = ratio([9.0, 18.0, 9.0], [10.0, 20.0, 10.0]).unwrap();
        assert!((alike.value - 0.9).abs() < 1e-9, "{alike:?}");
        // Medians of rounds that were slow for one and not for the other would say 1.8.
        let unlike = ratio([9.0, 18.0, 18.0, 9.0, 9.2], [10.0, 20.0, 10.0, 10.0, 10.0]).unwrap();
        assert!((0.9..0.93).contains(&unlike.value), "{unlike:?}");
        let (low, high) = unlike.bracket.unwrap();
        assert!((low - 0.9).abs() < 1e-9 && (high - 1.8).abs() < 1e-9, "{unlike:?}");
    }

    #[test]
    fn the_bracket_is_that_of_the_sign_test() {
        // Tables of confidence intervals for a median: n -> the rank counted from 1.
        for (count, rank) in [(1, 1), (5, 1), (6, 1), (9, 2), (12, 3), (15, 4), (20, 6), (30, 10)] {
            assert_eq!(rank_of_bracket(count) + 1, rank, "of {count}");
        }
    }

    #[test]
    fn what_can_be_0_is_a_ratio_of_medians() {
        assert_eq!(ratio([0.0, 2.0, 4.0], [1.0, 0.0, 4.0]), Some(Ratio { value: 2.0, bracket: None }));
        assert_eq!(ratio([0.0, 0.0], [1.0, 1.0]), Some(Ratio { value: 0.0, bracket: None }));
        assert_eq!(ratio([1.0], [0.0]), None);
        assert_eq!(ratio([], []), None);
    }

    #[test]
    fn a_round_that_one_of_them_lacks_does_not_count() {
        let mut first = Rounds::default();
        first.add(Some(1), 1.0);
        first.add(Some(3), 9.0);
        let second: Rounds = [2.0, 100.0, 18.0].into_iter().collect();
        assert_eq!(Ratio::of(&first, &second), Some(Ratio { value: 0.5, bracket: Some((0.5, 0.5)) }));
        let mut stranger = Rounds::default();
        stranger.add(Some(7), 1.0);
        assert_eq!(Ratio::of(&stranger, &second), None);
    }

    #[test]
    fn brackets_that_touch_overlap() {
        let of = |low, high| Ratio { value: low, bracket: Some((low, high)) };
        assert!(of(1.0, 2.0).overlaps(&of(2.0, 3.0)) && of(2.0, 3.0).overlaps(&of(1.0, 2.0)));
        assert!(!of(1.0, 1.9).overlaps(&of(2.0, 3.0)) && !of(2.0, 3.0).overlaps(&of(1.0, 1.9)));
        assert!(Ratio { value: 9.0, bracket: None }.overlaps(&of(1.0, 2.0)));
    }
}
