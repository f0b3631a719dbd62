//! The file of a ledger.
//!
//! `accounts.redb` maps a public key to its day, the latest day seen and the inferences of its day.
//! Every write is on the disk when it returns. `accounts.lock` beside it is locked for as long as the
//! process lives, also while the file itself is closed after a failure: so what is in memory stays
//! the truth.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError};

use super::count::Count;
use super::lock;
use crate::files::create_private_folder;
use crate::keys::PublicKey;

/// Key; day, latest day, inferences.
const INFERENCES: TableDefinition<[u8; PublicKey::LEN], (u64, u64, u64)> = TableDefinition::new("inferences");

/// After a failure, the file is left alone for so long.
const PAUSE: Duration = Duration::from_secs(1);

/// Bytes of the file that are kept in memory.
const CACHE: usize = 1 << 20;

/// Why a ledger cannot be had or written.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The folder or its lock cannot be made.
    #[error(
        "cannot keep accounts in `{}`: make it a folder that this party may write to", path.display()
    )]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process has the ledger.
    #[error(
        "another process has the accounts in `{}`: end it, or give each party a folder of its own", path.display()
    )]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The file holds something else, or no longer what was written.
    #[error(
        "`{}` is damaged, or no ledger of accounts: stop the party and move the file away; today's counts \
         then begin anew", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: Box<redb::Error>,
    },
    /// The file cannot be read or written.
    #[error(
        "cannot read or write `{}`: see that its disk has room and this party may write to it", path.display()
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: Box<redb::Error>,
    },
    /// It was closed.
    #[error("the accounts in `{}` are closed, since this party stops: start it again", path.display())]
    Closed {
        /// The file.
        path: PathBuf,
    },
}

/// How the file is opened, or made.
pub(super) type Open = dyn Fn(&Path) -> Result<Database, redb::Error> + Send + Sync;

/// The file of a ledger.
pub(super) struct Store {
    path: PathBuf,
    open: Box<Open>,
    state: Mutex<State>,
    /// Why the last write failed, and when.
    trouble: Mutex<Option<(SystemTime, Arc<LedgerError>)>>,
    /// Locked until it is dropped.
    _lock: File,
}

enum State {
    Open(Database),
    /// Until the next write, after one that failed.
    Failed,
    /// For good.
    Closed,
}

impl Store {
    pub(super) fn open(folder: &Path) -> Result<Self, LedgerError> {
        Self::open_by(
            folder,
            Box::new(|path| database(FileBackend::new(private(path)?)?)),
        )
    }

    /// A store whose file is opened in this way, at first and after failures.
    pub(super) fn open_by(folder: &Path, open: Box<Open>) -> Result<Self, LedgerError> {
        let lock = locked(folder)?;
        let path = folder.join("accounts.redb");
        let database = open(&path).map_err(|source| failure(&path, source))?;
        sync(folder).map_err(|source| LedgerError::Folder {
            path: folder.to_owned(),
            source,
        })?;
        Ok(Self {
            path,
            open,
            state: Mutex::new(State::Open(database)),
            trouble: Mutex::new(None),
            _lock: lock,
        })
    }

    /// All counts.
    pub(super) fn read(&self) -> Result<Vec<(PublicKey, Count)>, LedgerError> {
        match &*lock(&self.state) {
            State::Open(database) => counts(database).map_err(|source| failure(&self.path, source)),
            State::Failed | State::Closed => Ok(Vec::new()),
        }
    }

    /// Writes counts; once they are on the disk, and before anything else is written, does `then`.
    pub(super) fn write(
        &self,
        counts: &[(PublicKey, Count)],
        now: SystemTime,
        then: impl FnOnce(),
    ) -> Result<(), Arc<LedgerError>> {
        let mut state = lock(&self.state);
        if let Some((since, error)) = &*lock(&self.trouble)
            && now.duration_since(*since).is_ok_and(|time| time < PAUSE)
        {
            return Err(Arc::clone(error));
        }
        let written = self.put(&mut state, counts).map_err(Arc::new);
        *lock(&self.trouble) = written.as_ref().err().map(|error| (now, Arc::clone(error)));
        written.map(|()| then())
    }

    /// Writes the last counts, which are asked for when nobody else writes, and closes the file.
    pub(super) fn close(&self, counts: impl FnOnce() -> Vec<(PublicKey, Count)>) -> Result<(), LedgerError> {
        let mut state = lock(&self.state);
        let counts = counts();
        let written = match *state {
            State::Closed => Ok(()),
            State::Open(_) | State::Failed if counts.is_empty() => Ok(()),
            State::Open(_) | State::Failed => self.put(&mut state, &counts),
        };
        match std::mem::replace(&mut *state, State::Closed) {
            State::Open(database) => {
                let closed = database
                    .close()
                    .map_err(|error| failure(&self.path, error.into()));
                written.and(closed)
            }
            State::Failed | State::Closed => written,
        }
    }

    pub(super) fn trouble(&self) -> Option<Arc<LedgerError>> {
        let trouble = lock(&self.trouble);
        trouble.as_ref().map(|(_, error)| Arc::clone(error))
    }

    /// Writes counts. After a failure the file must be opened anew, which the next write does.
    fn put(&self, state: &mut State, counts: &[(PublicKey, Count)]) -> Result<(), LedgerError> {
        let failed = |source| failure(&self.path, source);
        let database = match std::mem::replace(state, State::Failed) {
            State::Open(database) => database,
            State::Failed => (self.open)(&self.path).map_err(failed)?,
            State::Closed => {
                *state = State::Closed;
                return Err(LedgerError::Closed {
                    path: self.path.clone(),
                });
            }
        };
        insert(&database, counts).map_err(failed)?;
        *state = State::Open(database);
        Ok(())
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The database in a file, checked from one end to the other: a hundred bytes a client.
pub(super) fn database(backend: impl redb::StorageBackend) -> Result<Database, redb::Error> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    Ok(builder.create_with_backend(backend)?)
}

fn counts(database: &Database) -> Result<Vec<(PublicKey, Count)>, redb::Error> {
    let table = match database.begin_read()?.open_table(INFERENCES) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let entries = table.iter()?.map(|entry| {
        let (key, value) = entry?;
        let (day, latest, used) = value.value();
        Ok((PublicKey::from_bytes(key.value()), Count { day, latest, used }))
    });
    entries.collect()
}

fn insert(database: &Database, counts: &[(PublicKey, Count)]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    let mut table = transaction.open_table(INFERENCES)?;
    for (key, count) in counts {
        table.insert(key.as_bytes(), (count.day, count.latest, count.used))?;
    }
    drop(table);
    Ok(transaction.commit()?)
}

/// Makes the folder and locks it for this process.
fn locked(folder: &Path) -> Result<File, LedgerError> {
    let failed = |source| LedgerError::Folder {
        path: folder.to_owned(),
        source,
    };
    create_private_folder(folder).map_err(failed)?;
    let file = private(&folder.join("accounts.lock")).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LedgerError::InUse {
            path: folder.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Opens a file, or makes it for its owner alone.
pub(super) fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Has the disk know the names in a folder, too.
#[cfg(unix)]
fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync(_folder: &Path) -> io::Result<()> {
    Ok(())
}

fn failure(path: &Path, source: redb::Error) -> LedgerError {
    let path = path.to_owned();
    match source {
        redb::Error::DatabaseAlreadyOpen => LedgerError::InUse { path },
        redb::Error::Corrupted(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::UpgradeRequired(_) => {
            let source = Box::new(source);
            LedgerError::Damaged { path, source }
        }
        redb::Error::Io(ref error) if error.kind() == io::ErrorKind::InvalidData => {
            let source = Box::new(source);
            LedgerError::Damaged { path, source }
        }
        _ => LedgerError::File {
            path,
            source: Box::new(source),
        },
    }
}
