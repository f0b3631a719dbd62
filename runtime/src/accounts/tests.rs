mod disk;
mod kill;
mod model;

use std::time::{Duration, UNIX_EPOCH};

use super::*;

const DAY: u64 = 24 * 3600;

/// An hour of a day not long from now.
fn at(day: u64, hour: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs((20_000 + day) * DAY + hour * 3600)
}

fn key(byte: u8) -> PublicKey {
    PublicKey::from_bytes([byte; 32])
}

/// Clients of these quotas, with keys from 0.
fn clients(quotas: &[Option<u64>]) -> Clients {
    let client = |(number, quota): (usize, &Option<u64>)| {
        let mut client = Client::new(format!("c{number}"), key(number as u8));
        client.inferences_per_day = *quota;
        client
    };
    Clients::new(quotas.iter().enumerate().map(client)).unwrap()
}

/// Accounts of a single client, changed in this way.
fn one(change: impl FnOnce(&mut Client)) -> Clients {
    let mut client = Client::new("alice", key(1));
    change(&mut client);
    Clients::new([client]).unwrap()
}

fn expiring(text: &str) -> Option<Expiry> {
    Some(Expiry::of(&text.parse().unwrap()).unwrap())
}

#[test]
fn strangers_have_no_place() {
    let accounts = Accounts::new(one(|_| {}), None);
    assert!(accounts.knows(&key(1)) && !accounts.knows(&key(2)));
    let refusal = accounts.enter(&key(2), at(0, 0)).unwrap_err();
    assert!(matches!(refusal, Refusal::Unknown { key: stranger } if stranger == key(2)));
    assert!(refusal.to_string().contains(&key(2).to_string()), "{refusal}");
    let guest = accounts.enter(&key(1), at(0, 0)).unwrap();
    assert_eq!(
        (guest.name(), *guest.key(), guest.stock()),
        ("alice", key(1), None)
    );
}

#[test]
fn a_place_is_free_again_when_its_guest_has_gone() {
    let accounts = Accounts::new(one(|client| client.sessions = 2), None);
    let first = accounts.enter(&key(1), at(0, 0)).unwrap();
    let second = accounts.enter(&key(1), at(0, 0)).unwrap();
    let refusal = accounts.enter(&key(1), at(0, 0)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "client `alice` has 2 sessions already, which is all that it may have at once: end one, or raise \
         `sessions` in clients.toml"
    );
    drop(first);
    let third = accounts.enter(&key(1), at(0, 0)).unwrap();
    assert_eq!(accounts.usage(at(0, 0))[0].sessions, 2);
    drop((second, third));
    assert_eq!(accounts.usage(at(0, 0))[0].sessions, 0);
}

#[test]
fn a_reload_takes_effect_at_once_and_takes_no_place_away() {
    let accounts = Accounts::new(one(|client| client.sessions = 2), None);
    let guests = [(), ()].map(|()| accounts.enter(&key(1), at(0, 0)).unwrap());
    accounts.replace(one(|client| {
        client.sessions = 1;
        client.stock = Some(7);
        client.inferences_per_day = Some(3);
    }));
    for guest in &guests {
        assert!(guest.standing(at(0, 0)).is_ok());
        assert_eq!(guest.stock(), Some(7));
    }
    guests[0].take(3, at(0, 0)).unwrap();
    let refusal = guests[1].take(1, at(0, 0)).unwrap_err();
    assert!(matches!(
        refusal,
        Refusal::Quota {
            per_day: 3,
            left: 0,
            ..
        }
    ));
    let [first, second] = guests;
    drop(first);
    let refusal = accounts.enter(&key(1), at(1, 0)).unwrap_err();
    assert!(matches!(refusal, Refusal::Sessions { most: 1, .. }));
    drop(second);
    accounts.enter(&key(1), at(1, 0)).unwrap();
}

#[test]
fn who_is_removed_is_told_so_amid_a_session() {
    let accounts = Accounts::new(one(|client| client.sessions = 1), None);
    let guest = accounts.enter(&key(1), at(0, 0)).unwrap();
    accounts.replace(clients(&[None]));
    assert!(!accounts.knows(&key(1)) && accounts.knows(&key(0)));
    for refusal in [guest.standing(at(0, 0)), guest.take(1, at(0, 0))] {
        let refusal = refusal.unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "client `alice` has been removed from clients.toml"
        );
        assert_eq!(refusal.reason(), "revoked");
    }
    let refusal = accounts.enter(&key(1), at(0, 0)).unwrap_err();
    assert!(matches!(refusal, Refusal::Unknown { .. }));
    assert_eq!(accounts.usage(at(0, 0)).len(), 1);
    // Back again, it finds its old session in its place.
    accounts.replace(one(|client| client.sessions = 1));
    let refusal = accounts.enter(&key(1), at(0, 0)).unwrap_err();
    assert!(matches!(refusal, Refusal::Sessions { .. }));
    assert!(guest.standing(at(0, 0)).is_ok());
}

#[test]
fn removed_and_back_again_refills_nothing() {
    let quota = |client: &mut Client| client.inferences_per_day = Some(5);
    let accounts = Accounts::new(one(quota), None);
    accounts
        .enter(&key(1), at(0, 0))
        .unwrap()
        .take(4, at(0, 0))
        .unwrap();
    accounts.replace(Clients::default());
    accounts.replace(one(quota));
    let guest = accounts.enter(&key(1), at(0, 0)).unwrap();
    assert!(guest.take(2, at(0, 0)).is_err());
    guest.take(1, at(0, 0)).unwrap();
}

#[test]
fn access_expires_also_amid_a_session() {
    // The day 20,000 after the beginning of 1970.
    let accounts = Accounts::new(one(|client| client.expires = expiring("2024-10-04")), None);
    let guest = accounts.enter(&key(1), at(0, 23)).unwrap();
    assert!(guest.standing(at(0, 23)).is_ok());
    for refusal in [
        guest.standing(at(1, 0)),
        guest.take(1, at(1, 0)),
        accounts.enter(&key(1), at(1, 0)).map(drop),
    ] {
        assert_eq!(
            refusal.unwrap_err().to_string(),
            "the access of client `alice` has expired: clients.toml says `expires = 2024-10-04`"
        );
    }
    assert!(accounts.knows(&key(1)));
    accounts.replace(one(|client| client.expires = expiring("2024-10-05")));
    assert!(guest.standing(at(1, 0)).is_ok());
}

#[test]
fn a_quota_is_all_or_nothing_and_begins_anew_at_midnight() {
    let accounts = Accounts::new(clients(&[Some(10), None]), None);
    let guest = accounts.enter(&key(0), at(0, 19)).unwrap();
    guest.take(8, at(0, 19)).unwrap();
    let refusal = guest.take(3, at(0, 19)).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "client `c0` has 2 left of 10 inferences a day: more in 5 hours, or raise `inferences-per-day` in \
         clients.toml"
    );
    guest.take(2, at(0, 19)).unwrap();
    assert!(guest.standing(at(0, 19)).is_ok());
    // With nothing left, nobody needs to come.
    let refusal = accounts.enter(&key(0), at(0, 23)).unwrap_err();
    assert!(matches!(
        refusal,
        Refusal::Quota {
            left: 0,
            hours: 1,
            ..
        }
    ));
    guest.take(10, at(1, 0)).unwrap();
    assert!(guest.take(u32::MAX, at(2, 0)).is_err());

    let unlimited = accounts.enter(&key(1), at(2, 0)).unwrap();
    unlimited.take(u32::MAX, at(2, 0)).unwrap();
    unlimited.take(0, at(2, 0)).unwrap();
    let usage = accounts.usage(at(2, 0));
    let shown: Vec<_> = usage
        .iter()
        .map(|it| (it.name.as_str(), it.used_today, it.quota, it.sessions))
        .collect();
    assert_eq!(
        shown,
        [("c0", 0, Some(10), 1), ("c1", u64::from(u32::MAX), None, 1)]
    );
}

#[test]
fn many_sessions_at_once_get_no_more_than_one() {
    let folder = tempfile::tempdir().unwrap();
    const QUOTA: u64 = 3000;
    let ledger = Ledger::open(folder.path()).unwrap();
    let mut clients = one(|client| client.inferences_per_day = Some(QUOTA))
        .into_iter()
        .next()
        .unwrap();
    clients.sessions = 6;
    let accounts = Accounts::new(Clients::new([clients.clone()]).unwrap(), Some(ledger));
    let took = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let (accounts, took, clients) = (&accounts, &took, &clients);
            scope.spawn(move || {
                // Two too many: each waits for a place by trying.
                let guest = loop {
                    match accounts.enter(&key(1), at(0, 1)) {
                        Ok(guest) => break guest,
                        Err(Refusal::Quota { .. }) => return,
                        Err(Refusal::Sessions { .. }) => std::thread::yield_now(),
                        Err(refusal) => panic!("{refusal}"),
                    }
                };
                assert!(accounts.usage(at(0, 1))[0].sessions <= 6);
                let mut wanted = 1 + thread % 3;
                while wanted > 0 {
                    match guest.take(wanted, at(0, 1)) {
                        Ok(()) => drop(took.fetch_add(wanted.into(), std::sync::atomic::Ordering::Relaxed)),
                        Err(Refusal::Quota { .. }) => wanted -= 1,
                        Err(refusal) => panic!("{refusal}"),
                    }
                    if thread == 0 {
                        accounts.replace(Clients::new([clients.clone()]).unwrap());
                    }
                }
            });
        }
    });
    assert_eq!(took.into_inner(), QUOTA);
    assert_eq!(accounts.usage(at(0, 2))[0].used_today, QUOTA);
    assert_eq!(accounts.usage(at(0, 2))[0].sessions, 0);
    drop(accounts);
    let ledger = Ledger::open(folder.path()).unwrap();
    assert_eq!(ledger.tally(&key(1)).used(at(0, 3)), QUOTA);
}
