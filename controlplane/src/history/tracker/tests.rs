use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// 2026-11-21T10:00:00Z
const TEN: u64 = 1_795_255_200;

fn counters(bytes: u64, connections: u64, active: u64) -> Counters {
    Counters { sent_bytes: bytes, received_bytes: 2 * bytes, connections, failed: connections / 2, active }
}

/// One look at these users; the total is their sum.
fn look(tracker: &mut Tracker, now: u64, users: &[(&str, Counters)], users_max: usize) -> Option<Minute> {
    tracker.begin(now);
    let mut total = Counters::default();
    for (name, user) in users {
        tracker.count(By::User, &(*name).into(), *user, now);
        total.sent_bytes += user.sent_bytes;
        total.received_bytes += user.received_bytes;
        total.connections += user.connections;
        total.failed += user.failed;
        total.active += user.active;
    }
    tracker.count(By::Total, &"".into(), total, now);
    tracker.roll(now, users_max)
}

fn users_of(minute: &Minute) -> Vec<(&str, Figures)> {
    let users = minute.rows.iter().filter(|row| row.by == By::User);
    users.map(|row| (&*row.key, row.figures)).collect()
}

#[test]
fn a_minute_has_what_was_counted_in_it_and_the_most_that_were_open() {
    let mut tracker = Tracker::default();
    assert_eq!(look(&mut tracker, TEN, &[("alice", counters(10, 2, 2))], 9), None);
    assert_eq!(look(&mut tracker, TEN + 1, &[("alice", counters(10, 6, 5))], 9), None);
    let minute = look(&mut tracker, TEN + 60, &[("alice", counters(15, 6, 1))], 9).unwrap();
    let figures = Figures { sent_bytes: 15, received_bytes: 30, connections: 6, failed: 3, active_max: 5 };
    assert_eq!(minute.at, TEN);
    assert_eq!(users_of(&minute), [("alice", figures)]);
    let so_far = tracker.so_far(9).unwrap();
    assert_eq!(so_far.at, TEN + 60);
    let figures = Figures { active_max: 1, ..Figures::default() };
    assert_eq!(users_of(&so_far), [("alice", figures)], "who stays is open in the next minute too");
}

#[test]
fn what_opened_and_closed_between_two_looks_was_open() {
    let mut tracker = Tracker::default();
    look(&mut tracker, TEN, &[("alice", Counters::default())], 9);
    look(&mut tracker, TEN + 1, &[("alice", counters(1, 3, 0))], 9);
    let minute = look(&mut tracker, TEN + 60, &[("alice", counters(1, 3, 0))], 9).unwrap();
    let most: Vec<_> = minute.rows.iter().map(|row| row.figures.active_max).collect();
    assert_eq!(most, [1, 1], "the total's and the user's");
    assert_eq!(users_of(&tracker.so_far(9).unwrap()), [], "nobody is open in the next minute");
}

#[test]
fn a_minute_without_traffic_has_the_total_alone() {
    let mut tracker = Tracker::default();
    look(&mut tracker, TEN, &[("idle", Counters::default())], 9);
    let minute = look(&mut tracker, TEN + 60, &[("idle", Counters::default())], 9).unwrap();
    assert_eq!(minute.rows, [Row { by: By::Total, key: "".into(), figures: Figures::default() }]);
}

#[test]
fn counters_that_go_back_began_anew() {
    let mut tracker = Tracker::default();
    look(&mut tracker, TEN, &[("alice", counters(100, 4, 0))], 9);
    look(&mut tracker, TEN + 1, &[("alice", counters(7, 2, 0))], 9);
    let minute = look(&mut tracker, TEN + 60, &[("alice", counters(8, 2, 0))], 9).unwrap();
    let (_, figures) = users_of(&minute)[0];
    assert_eq!((figures.sent_bytes, figures.connections), (108, 6));
}

#[test]
fn users_beyond_the_most_are_summed_up_until_the_hour_ends() {
    let mut tracker = Tracker::default();
    let first = [("small", counters(1, 1, 1)), ("large", counters(9, 1, 1)), ("middle", counters(5, 1, 1))];
    look(&mut tracker, TEN, &first, 2);
    let minute = look(&mut tracker, TEN + 60, &first, 2).unwrap();
    let names: Vec<_> = users_of(&minute).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["large", "middle", OTHERS]);
    assert_eq!(
        users_of(&minute)[2].1,
        Figures { sent_bytes: 1, received_bytes: 2, connections: 1, failed: 0, active_max: 1 }
    );
    // Now the largest by far: it has to wait for the next hour.
    let second = [("small", counters(999, 1, 1)), first[1], first[2]];
    look(&mut tracker, TEN + 61, &second, 2);
    let minute = look(&mut tracker, TEN + 120, &second, 2).unwrap();
    assert!(users_of(&minute).iter().all(|(name, _)| *name != "small"), "{minute:?}");
    let third = [("small", counters(9999, 1, 1)), first[1], first[2]];
    look(&mut tracker, TEN + 3600, &second, 2);
    let minute = look(&mut tracker, TEN + 3660, &third, 2).unwrap();
    assert!(users_of(&minute).iter().any(|(name, _)| *name == "small"), "{minute:?}");
}

#[test]
fn what_is_inherited_is_part_of_the_minute_under_way() {
    let mut tracker = Tracker::default();
    let left = Figures { sent_bytes: 5, failed: 1, ..Figures::default() };
    tracker.inherit(By::User, "alice", &left, TEN + 3);
    look(&mut tracker, TEN + 4, &[("alice", counters(10, 2, 1))], 9);
    let minute = tracker.so_far(9).unwrap();
    let (_, figures) = users_of(&minute)[0];
    assert_eq!((minute.at, figures.sent_bytes, figures.failed), (TEN, 15, 2));
}

#[test]
fn what_was_taken_is_not_told_again() {
    let mut tracker = Tracker::default();
    look(&mut tracker, TEN, &[("alice", counters(10, 2, 1))], 9);
    let sent = |minute: Option<Minute>| minute.unwrap().rows[0].figures.sent_bytes;
    assert_eq!(sent(tracker.take(9)), 10);
    assert_eq!(sent(tracker.take(9)), 0);
    look(&mut tracker, TEN + 1, &[("alice", counters(11, 2, 1))], 9);
    assert_eq!(sent(tracker.take(9)), 1);
}

#[test]
fn keys_that_are_gone_for_a_day_are_forgotten() {
    let mut tracker = Tracker::default();
    look(&mut tracker, TEN, &[("alice", counters(10, 2, 1))], 9);
    look(&mut tracker, TEN + DAY - 1, &[], 9);
    assert_eq!(tracker.entries[By::User as usize].len(), 1);
    look(&mut tracker, TEN + DAY + 60, &[], 9);
    assert_eq!(tracker.entries[By::User as usize].len(), 0);
}

/// One step of a life: seconds that pass (the clock may be set back), and for each user by how much it moves, and whether its
/// counters begin anew.
fn steps() -> impl Strategy<Value = Vec<(i64, Vec<(u64, bool)>)>> {
    let user = (0..5_000_u64, proptest::bool::weighted(0.05));
    proptest::collection::vec((-30..200_i64, proptest::collection::vec(user, 4)), 1..60)
}

proptest! {
    /// Whatever the clock does: all that was counted is in some minute once, and minutes begin at minutes.
    #[test]
    fn nothing_is_lost_and_nothing_is_told_twice(steps in steps(), users_max in 0..5_usize) {
        let names = ["a", "b", "c", "d"];
        let (mut tracker, mut now, mut told) = (Tracker::default(), TEN, Vec::new());
        let (mut counted, mut moved) = ([0_u64; 4], [0_u64; 4]);
        for (passed, users) in steps {
            now = now.saturating_add_signed(passed);
            for (index, (bytes, anew)) in users.into_iter().enumerate() {
                // Counters that began anew and have passed what they were cannot be told from others: one byte less.
                let bytes = if anew { bytes.min(counted[index].saturating_sub(1)) } else { bytes };
                counted[index] = if anew && counted[index] > 0 { bytes } else { counted[index] + bytes };
                moved[index] += bytes;
            }
            tracker.begin(now);
            for (name, sent_bytes) in names.iter().zip(counted) {
                let counters = Counters { sent_bytes, ..Counters::default() };
                tracker.count(By::User, &(*name).into(), counters, now);
            }
            told.extend(tracker.roll(now, users_max));
        }
        told.extend(tracker.take(users_max));
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for minute in &told {
            prop_assert_eq!(minute.at % MINUTE, 0);
            let users: Vec<_> = users_of(minute);
            prop_assert!(users.iter().filter(|(name, _)| *name != OTHERS).count() <= users_max);
            users.iter().for_each(|(name, figures)| *sums.entry(name).or_default() += figures.sent_bytes);
        }
        prop_assert_eq!(sums.values().sum::<u64>(), moved.iter().sum::<u64>());
        if users_max == names.len() {
            for (name, moved) in names.iter().zip(moved) {
                prop_assert_eq!(sums.get(name).copied().unwrap_or(0), moved);
            }
        }
    }
}
