//! The ledger against a naive account of who got what, with crashes, orderly ends, reloads, days that
//! pass and clocks that are set back at random.

use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

#[derive(Clone, Debug)]
enum Event {
    Take {
        client: usize,
        inferences: u32,
    },
    /// The clock goes on by some days, and some hours.
    Later {
        days: u64,
    },
    /// It shows a day or two before the latest.
    Behind {
        days: u64,
    },
    /// The process ends amid whatever it does.
    Crash,
    /// It ends in order.
    End,
    /// Other quotas.
    Reload {
        quotas: [Option<u64>; 3],
    },
}

fn quotas() -> impl Strategy<Value = [Option<u64>; 3]> {
    let quota = prop_oneof![
        2 => (1u64..40).prop_map(Some),
        2 => (100u64..400).prop_map(Some),
        1 => Just(None),
    ];
    proptest::array::uniform3(quota)
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        20 => (0usize..3, 1u32..30).prop_map(|(client, inferences)| Event::Take { client, inferences }),
        2 => (0u64..4).prop_map(|days| Event::Later { days }),
        2 => (0u64..=2).prop_map(|days| Event::Behind { days }),
        2 => Just(Event::Crash),
        1 => Just(Event::End),
        1 => quotas().prop_map(|quotas| Event::Reload { quotas }),
    ]
}

/// What a client got in a day, and what crashes may have cost it at most.
#[derive(Clone, Copy, Debug, Default)]
struct Had {
    day: u64,
    got: u64,
    lost: u64,
    /// Whether the file knows of the day.
    kept: bool,
}

fn open(folder: &Path, quotas: &[Option<u64>]) -> Accounts {
    Accounts::new(clients(quotas), Some(Ledger::open(folder).unwrap()))
}

/// What a crash leaves: the file as it is at this moment.
fn crashed(folder: &TempDir) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let name = "accounts.redb";
    std::fs::copy(folder.path().join(name), copy.path().join(name)).unwrap();
    copy
}

fn run(first: [Option<u64>; 3], events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut folder = tempfile::tempdir().unwrap();
    let mut quotas = first;
    let mut accounts = open(folder.path(), &quotas);
    let (mut latest, mut today) = (0, 0);
    // Day by day, of each client.
    let mut days = [(); 3].map(|()| {
        vec![Had {
            kept: true,
            ..Had::default()
        }]
    });
    for event in events {
        match event {
            Event::Take { client, inferences } => {
                for days in days.iter_mut().filter(|days| days[days.len() - 1].day < today) {
                    days.push(Had {
                        day: today,
                        ..Had::default()
                    });
                }
                let had = days[client].last_mut().unwrap();
                let now = at(today, 5);
                let guest = accounts.enter(&key(client as u8), now);
                let taken = guest.and_then(|guest| guest.take(inferences, now));
                let after = had.got + u64::from(inferences);
                match (&taken, quotas[client]) {
                    (Ok(()), quota) => {
                        prop_assert!(quota.is_none_or(|quota| after <= quota), "{after} of {quota:?}");
                        (had.got, had.kept) = (after, true);
                    }
                    (Err(Refusal::Quota { left, .. }), Some(quota)) => {
                        let least = quota.saturating_sub(had.got + had.lost);
                        prop_assert!(
                            (least..=quota.saturating_sub(had.got)).contains(left),
                            "{left}: {had:?}"
                        );
                        prop_assert!(*left < u64::from(inferences));
                    }
                    (Err(refusal), _) => prop_assert!(false, "{refusal}"),
                }
                let shown = accounts.usage(now)[client].used_today;
                prop_assert!(
                    (had.got..=had.got + had.lost).contains(&shown),
                    "{shown}: {had:?}"
                );
            }
            Event::Later { days } => {
                latest += days;
                today = latest;
            }
            Event::Behind { days } => today = latest.saturating_sub(days),
            Event::Crash => {
                let copy = crashed(&folder);
                drop(accounts);
                folder = copy;
                accounts = open(folder.path(), &quotas);
                for days in &mut days {
                    days.retain(|had| had.kept);
                    days.last_mut().unwrap().lost += 64;
                }
            }
            Event::End => {
                accounts.close().unwrap();
                drop(accounts);
                days.iter_mut().flatten().for_each(|had| had.kept = true);
                accounts = open(folder.path(), &quotas);
            }
            Event::Reload { quotas: others } => {
                quotas = others;
                accounts.replace(clients(&quotas));
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]
    #[test]
    fn nobody_gets_more_and_nobody_loses_more_than_a_lease(
        first in quotas(),
        events in proptest::collection::vec(event(), 1..80),
    ) {
        run(first, events)?;
    }
}

#[test]
fn a_crash_costs_a_lease_and_an_orderly_end_nothing() {
    for (quota, lease) in [(10, 1), (100, 1), (1000, 10), (6400, 64), (1_000_000, 64)] {
        let mut folder = tempfile::tempdir().unwrap();
        for crash in [false, true] {
            let accounts = open(folder.path(), &[Some(quota)]);
            let before = accounts.usage(at(0, 1))[0].used_today;
            accounts
                .enter(&key(0), at(0, 1))
                .unwrap()
                .take(3, at(0, 1))
                .unwrap();
            if crash {
                folder = crashed(&folder);
            }
            drop(accounts);
            let after = open(folder.path(), &[Some(quota)]).usage(at(0, 2))[0].used_today;
            let cost = if crash { lease } else { 0 };
            assert_eq!(after, before + 3 + cost, "{quota}");
        }
    }
}

#[test]
fn a_clock_that_was_wrong_locks_nobody_out_and_refills_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let quotas = [Some(10)];
    let take = |inferences, now| {
        // Opened anew each time: all that matters is in the file.
        let accounts = open(folder.path(), &quotas);
        let guest = accounts.enter(&key(0), now);
        guest.and_then(|guest| guest.take(inferences, now)).is_ok()
    };
    assert!(take(10, at(0, 1)));
    // In 2099 there is another quota, once.
    assert!(take(10, at(27_000, 1)));
    for _ in 0..3 {
        assert!(!take(1, at(0, 2)) && !take(1, at(27_000, 2)));
    }
    // The clock is right again: from its next midnight on, all is as usual.
    assert!(!take(1, at(0, 23)));
    assert!(take(10, at(1, 0)) && !take(1, at(1, 23)));
    assert!(take(10, at(2, 0)));
}
