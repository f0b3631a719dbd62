//! The two programs as processes, each with a watchdog.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a command may take that computes something.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// How long a command may take that should refuse its input.
pub(crate) const REFUSAL_LIMIT: Duration = Duration::from_secs(20);

/// A process that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Exit code; none after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ended {
    /// Demands success.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// What is wrong if this was to be a refusal: the exit must be a failure of the program's own,
    /// with a sentence, and not a panic.
    pub(crate) fn no_refusal(&self) -> Option<String> {
        let sentence = self
            .stderr
            .lines()
            .any(|line| line.starts_with("error: ") && line.len() > 20);
        let problem = match self.code {
            None => "it was ended by a signal",
            Some(0) => "it succeeded",
            Some(1..=6) if self.stderr.contains("panicked") => "it panicked",
            Some(1..=6) if !sentence => "it printed no error sentence",
            Some(1..=6) => return None,
            Some(_) => "its exit code is none of 1 to 6",
        };
        Some(format!("{problem}: {}", self.stderr))
    }

    /// Demands a refusal with this exit code; returns its words.
    #[track_caller]
    pub(crate) fn refused_with(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        self.refused()
    }

    /// Demands a refusal; returns its words.
    #[track_caller]
    pub(crate) fn refused(self) -> String {
        if let Some(problem) = self.no_refusal() {
            panic!("{problem}");
        }
        self.stderr
    }
}

/// A process at work, killed when dropped.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
    stdout: String,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts a process.
    pub(crate) fn start(command: &mut Command) -> Self {
        let command = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}"));
        let (stdout, mut stderr) = (
            child.stdout.take().expect("piped"),
            child.stderr.take().expect("piped"),
        );
        let (tell, lines) = channel();
        thread::spawn(move || {
            BufReader::new(stdout)
                .lines()
                .map_while(Result::ok)
                .all(|line| tell.send(line).is_ok())
        });
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            // What was read before a fault of the pipe is worth having.
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        Self {
            child,
            lines,
            stdout: String::new(),
            stderr: Some(stderr),
        }
    }

    /// Waits for a line of the standard output that begins so; returns what follows.
    #[track_caller]
    pub(crate) fn line(&mut self, beginning: &str) -> String {
        let end = Instant::now() + REFUSAL_LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line \"{beginning}...\" came: {}", self.stdout);
            };
            self.stdout += &line;
            self.stdout.push('\n');
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    /// The address on which a party listens.
    #[track_caller]
    pub(crate) fn address(&mut self) -> String {
        self.line("listening on ")
    }

    /// The process's number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks the process to end, with this signal.
    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.id().to_string())
            .status();
        assert!(
            kill.is_ok_and(|status| status.success()),
            "the process is there to be signalled"
        );
    }

    /// Whether it has not ended yet.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// Waits for the end, which must come within the limit.
    #[track_caller]
    pub(crate) fn wait(mut self, limit: Duration) -> Ended {
        let end = Instant::now() + limit;
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status,
                Ok(None) if Instant::now() > end => {
                    let _ = self.child.kill();
                    let stderr = self.stderr.take().map(|thread| thread.join());
                    panic!(
                        "a process did not end within {limit:?}: {} {stderr:?}",
                        self.stdout
                    );
                }
                Ok(None) => thread::sleep(Duration::from_millis(2)),
                Err(error) => panic!("a process cannot be waited for: {error}"),
            }
        };
        let stderr = self
            .stderr
            .take()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_default();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            self.stdout += &line;
            self.stdout.push('\n');
        }
        Ended {
            code: status.code(),
            stdout: std::mem::take(&mut self.stdout),
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a process to its end.
#[track_caller]
pub(crate) fn run(command: &mut Command, limit: Duration) -> Ended {
    Running::start(command).wait(limit)
}

/// `trefoil-party`, which cargo builds into the same folder as `trefoil` (this is another package's).
pub(crate) fn party_beside(trefoil: &str) -> PathBuf {
    let path = Path::new(trefoil).with_file_name(format!("trefoil-party{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.is_file(),
        "{} is missing: run `cargo test --workspace`, or `cargo build --bins` first",
        path.display()
    );
    path
}
