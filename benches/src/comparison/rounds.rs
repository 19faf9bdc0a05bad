//! The values of one figure of one server, each with the round it was taken in: what is compared was taken side by side.

/// In the order of the reports.
#[derive(Clone, Default, Debug, PartialEq)]
pub struct Rounds {
    numbers: Vec<u64>,
    values: Vec<f64>,
}

impl Rounds {
    /// Without a number, or with one that is taken, it is a round behind all others.
    pub fn add(&mut self, number: Option<u64>, value: f64) {
        let next = self.numbers.iter().max().map_or(1, |last| last + 1);
        self.numbers.push(number.filter(|number| !self.numbers.contains(number)).unwrap_or(next));
        self.values.push(value);
    }

    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Their rounds, unless they are the first, the second and so on.
    #[must_use]
    pub fn odd_numbers(&self) -> Option<&[u64]> {
        (!self.numbers.iter().copied().eq(1..=self.numbers.len() as u64)).then_some(&self.numbers)
    }

    /// This one's value and the other's, of each round that both have.
    pub fn beside<'a>(&'a self, other: &'a Rounds) -> impl Iterator<Item = (f64, f64)> + 'a {
        self.numbers.iter().zip(&self.values).filter_map(|(number, value)| {
            let place = other.numbers.iter().position(|known| known == number)?;
            Some((*value, other.values[place]))
        })
    }
}

/// Of rounds 1, 2 and so on.
impl FromIterator<f64> for Rounds {
    fn from_iter<Values: IntoIterator<Item = f64>>(values: Values) -> Rounds {
        let mut rounds = Rounds::default();
        values.into_iter().for_each(|value| rounds.add(None, value));
        rounds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_one_round_stand_side_by_side() {
        let of = |values: [(u64, f64); 3]| {
            let mut rounds = Rounds::default();
            values.into_iter().for_each(|(number, value)| rounds.add(Some(number), value));
            rounds
        };
        let (one, other) = (of([(1, 10.0), (3, 30.0), (4, 40.0)]), of([(4, 4.0), (2, 2.0), (1, 1.0)]));
        assert_eq!(one.beside(&other).collect::<Vec<_>>(), [(10.0, 1.0), (40.0, 4.0)]);
        assert_eq!(one.odd_numbers(), Some(&[1, 3, 4][..]));
    }

    #[test]
    fn what_has_no_number_of_its_own_comes_behind() {
        let mut rounds: Rounds = [1.0, 2.0].into_iter().collect();
        rounds.add(Some(2), 3.0);
        assert_eq!((rounds.values(), rounds.odd_numbers()), (&[1.0, 2.0, 3.0][..], None));
    }
}
