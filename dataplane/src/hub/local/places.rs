//! A connection's subscriptions. Most have one: it lies in the connection's own record, without a heap of its own.

use super::Place;
use std::ops::{Deref, DerefMut};

/// In no order.
#[derive(Default)]
pub(super) enum Places {
    #[default]
    None,
    One(Place),
    /// Two or more, but for the moment in which one of two goes.
    Many(Vec<Place>),
}

const _: () = assert!(size_of::<Places>() <= 24);

impl Places {
    pub fn push(&mut self, place: Place) {
        match self {
            Places::None => *self = Places::One(place),
            Places::One(first) => *self = Places::Many(vec![*first, place]),
            Places::Many(places) => places.push(place),
        }
    }

    /// Takes one out; the last one takes its place.
    pub fn swap_remove(&mut self, index: usize) -> Place {
        match self {
            Places::Many(places) => {
                let removed = places.swap_remove(index);
                if let [last] = places[..] {
                    *self = Places::One(last);
                }
                removed
            }
            _ => {
                let removed = self[index];
                *self = Places::None;
                removed
            }
        }
    }
}

impl Deref for Places {
    type Target = [Place];

    fn deref(&self) -> &[Place] {
        match self {
            Places::None => &[],
            Places::One(place) => std::slice::from_ref(place),
            Places::Many(places) => places,
        }
    }
}

impl DerefMut for Places {
    fn deref_mut(&mut self) -> &mut [Place] {
        match self {
            Places::None => &mut [],
            Places::One(place) => std::slice::from_mut(place),
            Places::Many(places) => places,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Beside a model that is a plain list.
        #[test]
        fn they_are_as_a_plain_list(steps in proptest::collection::vec((any::<bool>(), 0..8usize), 1..40)) {
            let (mut places, mut model) = (Places::default(), Vec::new());
            for (number, (grows, at)) in steps.into_iter().enumerate() {
                if grows || model.is_empty() {
                    let place = Place { interest: number as u32, seat: at as u32 };
                    places.push(place);
                    model.push(place);
                } else {
                    let at = at % model.len();
                    prop_assert_eq!(places.swap_remove(at), model.swap_remove(at));
                }
                prop_assert_eq!(&places[..], &model[..]);
                prop_assert_eq!(matches!(places, Places::Many(_)), model.len() > 1);
            }
        }
    }
}
