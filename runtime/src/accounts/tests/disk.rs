//! Disks that are full, folders that cannot be written, files that hold something else.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use redb::StorageBackend;
use redb::backends::FileBackend;

use super::*;
use crate::accounts::store::{Store, database, private};

/// A file on a disk that fails when it is told to.
#[derive(Debug)]
struct Failing {
    file: FileBackend,
    how: Arc<AtomicU8>,
}

const WELL: u8 = 0;
/// Nothing more can be written.
const FULL: u8 = 1;
/// What is written arrives, though the disk says that it may not have.
const UNSURE: u8 = 2;

impl Failing {
    fn check(&self, how: u8) -> io::Result<()> {
        match self.how.load(Ordering::SeqCst) {
            now if now == how => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl StorageBackend for Failing {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check(FULL)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check(FULL)?;
        self.file.sync_data()?;
        self.check(UNSURE)
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check(FULL)?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// Accounts on a disk, and how it does.
fn on_disk(folder: &Path, clients: Clients) -> (Accounts, Arc<AtomicU8>) {
    let how = Arc::new(AtomicU8::new(WELL));
    let disk = Arc::clone(&how);
    let store = Store::open_by(
        folder,
        Box::new(move |path| {
            let file = FileBackend::new(private(path)?)?;
            let how = Arc::clone(&disk);
            database(Failing { file, how })
        }),
    );
    let ledger = Ledger::of(store.unwrap()).unwrap();
    (Accounts::new(clients, Some(ledger)), how)
}

/// What the file says, to a process that comes next.
fn on_file(folder: &Path, client: u8) -> u64 {
    let copy = tempfile::tempdir().unwrap();
    fs::copy(folder.join("accounts.redb"), copy.path().join("accounts.redb")).unwrap();
    Ledger::open(copy.path())
        .unwrap()
        .tally(&key(client))
        .used(at(0, 1))
}

#[test]
fn on_a_full_disk_a_lease_is_used_up_and_no_more() {
    for kind in [FULL, UNSURE] {
        let folder = tempfile::tempdir().unwrap();
        let (accounts, how) = on_disk(folder.path(), clients(&[Some(1000), None]));
        let limited = accounts.enter(&key(0), at(0, 0)).unwrap();
        let unlimited = accounts.enter(&key(1), at(0, 0)).unwrap();
        limited.take(1, at(0, 0)).unwrap();
        assert!(accounts.trouble().is_none());

        how.store(kind, Ordering::SeqCst);
        limited.take(10, at(0, 0)).unwrap();
        let refusal = limited.take(1, at(0, 0)).unwrap_err();
        assert!(
            matches!(&refusal, Refusal::Store { name, .. } if name == "c0"),
            "{refusal}"
        );
        let text = std::error::Error::source(&refusal).unwrap().to_string();
        assert!(
            text.contains("accounts.redb") && text.contains("has room"),
            "{text}"
        );
        assert!(accounts.trouble().is_some());
        // All sessions stay, and who has no quota goes on.
        unlimited.take(500, at(0, 0)).unwrap();
        assert!(limited.standing(at(0, 0)).is_ok());
        assert_eq!(accounts.usage(at(0, 0))[0].used_today, 11);
        assert!(on_file(folder.path(), 0) >= 11);

        // There is room again, but for a moment the disk is left alone.
        how.store(WELL, Ordering::SeqCst);
        assert!(limited.take(1, at(0, 0)).is_err());
        let later = at(0, 0) + Duration::from_secs(1);
        limited.take(989, later).unwrap();
        assert!(matches!(limited.take(1, later), Err(Refusal::Quota { .. })));
        assert!(accounts.trouble().is_none());
        assert_eq!(on_file(folder.path(), 0), 1000);
        unlimited.take(1, later).unwrap();
        accounts.close().unwrap();
        assert_eq!(on_file(folder.path(), 1), 501);
    }
}

#[test]
fn a_disk_that_fails_at_every_step_gives_nothing_away() {
    let folder = tempfile::tempdir().unwrap();
    let (accounts, how) = on_disk(folder.path(), clients(&[Some(60)]));
    let guest = accounts.enter(&key(0), at(0, 0)).unwrap();
    let mut took = 0;
    for second in 0..100u64 {
        how.store(
            [WELL, FULL, UNSURE, WELL, UNSURE][second as usize % 5],
            Ordering::SeqCst,
        );
        let now = at(0, 0) + Duration::from_secs(second);
        let taken = guest.take(1 + second as u32 % 3, now);
        took += taken.map_or(0, |()| 1 + second % 3);
        assert!(
            took <= 60 && on_file(folder.path(), 0) >= took,
            "{second}: {took}"
        );
    }
    assert_eq!(took, 60);
}

#[test]
fn at_a_failing_end_the_file_says_no_less_than_was_had() {
    let folder = tempfile::tempdir().unwrap();
    let (accounts, how) = on_disk(folder.path(), clients(&[Some(1000)]));
    accounts
        .enter(&key(0), at(0, 0))
        .unwrap()
        .take(5, at(0, 0))
        .unwrap();
    how.store(FULL, Ordering::SeqCst);
    assert!(accounts.close().is_err());
    assert_eq!(on_file(folder.path(), 0), 15);
}

#[test]
fn after_the_end_nobody_with_a_quota_gets_more() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(folder.path()).unwrap();
    let accounts = Accounts::new(clients(&[Some(1000)]), Some(ledger));
    let guest = accounts.enter(&key(0), at(0, 0)).unwrap();
    guest.take(1, at(0, 0)).unwrap();
    accounts.close().unwrap();
    accounts.close().unwrap();
    let refusal = guest.take(1, at(0, 0)).unwrap_err();
    assert!(
        matches!(&refusal, Refusal::Store { source, .. } if matches!(**source, LedgerError::Closed { .. }))
    );
    assert_eq!(on_file(folder.path(), 0), 1);
}

#[test]
fn only_the_owner_enters_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let ledger = Ledger::open(&state).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("accounts.redb")), 0o600);
    assert_eq!(mode(&state.join("accounts.lock")), 0o600);
    let error = Ledger::open(&state).unwrap_err();
    assert!(matches!(error, LedgerError::InUse { .. }), "{error}");
    drop(ledger);
    Ledger::open(&state).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let mut bad = vec![file.join("state"), Path::new("/proc/state").to_owned()];
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    // The superuser may write everywhere.
    if !rustix::process::geteuid().is_root() {
        bad.push(closed);
    }
    for path in bad {
        let error = Ledger::open(&path).unwrap_err();
        assert!(matches!(error, LedgerError::Folder { .. }), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    let taken = folder.path().join("taken");
    fs::create_dir_all(taken.join("accounts.redb")).unwrap();
    let error = Ledger::open(&taken).unwrap_err();
    assert!(matches!(error, LedgerError::File { .. }), "{error}");
}

#[test]
fn damage_is_found_when_the_file_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let accounts = Accounts::new(
        clients(&[Some(1000); 40]),
        Some(Ledger::open(folder.path()).unwrap()),
    );
    for client in 0..40 {
        accounts
            .enter(&key(client), at(0, 0))
            .unwrap()
            .take(7, at(0, 0))
            .unwrap();
    }
    drop(accounts);
    let path = folder.path().join("accounts.redb");
    let good = fs::read(&path).unwrap();
    let damaged = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Ledger::open(folder.path()).map(|ledger| ledger.tally(&key(0)).used(at(0, 0)))
    };
    assert_eq!(damaged(&good).unwrap(), 7);
    for bytes in [&b"no database"[..], &[0xa5; 9000], &good[..good.len() / 2]] {
        let error = damaged(bytes).unwrap_err();
        assert!(
            matches!(error, LedgerError::Damaged { .. } | LedgerError::File { .. }),
            "{error}"
        );
    }
    // A count that was changed is not believed.
    let needle = key(0);
    let place = good
        .windows(32)
        .rposition(|bytes| bytes == needle.as_bytes())
        .unwrap();
    for at in [place, place + 33] {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        assert!(damaged(&bytes).is_err());
    }
}
