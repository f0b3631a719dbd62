//! Commands as a user types them, run as processes of their own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The two binaries.
pub struct Binaries {
    /// `trefoil`.
    pub compiler: PathBuf,
    /// `trefoil-party`.
    pub party: PathBuf,
}

/// Builds both binaries of the workspace at `root`, if need be, and says where they are.
///
/// # Errors
/// If cargo cannot be started or the build fails.
pub fn build(root: &Path) -> Result<Binaries> {
    println!("$ cargo build --release --bins");
    // Under `cargo run` this is the very cargo that built the example.
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from(env!("CARGO")));
    let output = Command::new(&cargo)
        .args([
            "build",
            "--release",
            "--bins",
            "--message-format=json-render-diagnostics",
        ])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} cannot be started: is Rust installed?", cargo.display()))?;
    if !output.status.success() {
        bail!("the build failed: the compiler's messages stand above");
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(Binaries {
        compiler: executable(&messages, "trefoil")?,
        party: executable(&messages, "trefoil-party")?,
    })
}

/// The executable of this name among cargo's messages, wherever the target folder is.
fn executable(messages: &str, name: &str) -> Result<PathBuf> {
    let path_of = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        let path = message["executable"].as_str().map(PathBuf::from)?;
        (message["target"]["name"] == name).then_some(path)
    };
    let path = messages.lines().find_map(path_of);
    path.with_context(|| format!("cargo built no binary called {name}: is this the whole repository?"))
}

/// A command line, in the words that are printed and run.
pub struct Line {
    program: PathBuf,
    words: Vec<String>,
}

impl Line {
    /// A call of `program`; the arguments are separated by blanks.
    pub fn new(program: &Path, arguments: &str) -> Self {
        Self {
            program: program.to_owned(),
            words: arguments.split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// One more argument pair, a flag and a path (which may contain blanks).
    #[must_use]
    pub fn path(mut self, flag: &str, path: &Path) -> Self {
        self.words.extend([flag.to_owned(), path.display().to_string()]);
        self
    }

    /// More arguments, separated by blanks.
    #[must_use]
    pub fn words(mut self, arguments: &str) -> Self {
        self.words.extend(arguments.split_whitespace().map(str::to_owned));
        self
    }

    /// One more path, without a flag.
    #[must_use]
    pub fn operand(mut self, path: &Path) -> Self {
        self.words.push(path.display().to_string());
        self
    }

    /// The line as one would type it, a flag a line where it would be too long.
    fn typed(&self) -> String {
        let mut text = self
            .program
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let mut column = text.len();
        for (at, word) in self.words.iter().enumerate() {
            // A flag stays with its value.
            let value = self
                .words
                .get(at + 1)
                .filter(|next| word.starts_with('-') && !next.starts_with('-'));
            let length = word.len() + value.map_or(0, |next| next.len() + 1);
            if word.starts_with('-') && column + length > 90 {
                text += " \\\n     ";
                column = 5;
            }
            text += " ";
            text += word;
            column += word.len() + 1;
        }
        text
    }

    fn command(&self, root: &Path) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.words).current_dir(root).stdin(Stdio::null());
        command
    }

    /// Prints the line, runs it in `root`, and returns what it writes to its standard output.
    ///
    /// # Errors
    /// If it cannot be started or fails; its own sentence stands on the terminal then.
    pub fn run(&self, root: &Path) -> Result<String> {
        println!("\n$ {}", self.typed());
        let output = self
            .command(root)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| self.cannot_start())?;
        if !output.status.success() {
            bail!(
                "`{}` failed ({}): its message stands above",
                self.typed(),
                output.status
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Prints the line and starts it as a party that says where it listens.
    ///
    /// # Errors
    /// If it cannot be started, or ends before it listens.
    pub fn serve(&self, root: &Path, name: &'static str) -> Result<Party> {
        println!("\n$ {} &", self.typed());
        let mut command = self.command(root);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Party::new(child.with_context(|| self.cannot_start())?, name)
    }

    fn cannot_start(&self) -> String {
        format!("{} cannot be started", self.program.display())
    }
}

/// A party that runs in the background. However the demo ends, the process ends with it.
pub struct Party {
    name: &'static str,
    child: Child,
    address: String,
    echo: Option<JoinHandle<()>>,
}

impl Party {
    fn new(mut child: Child, name: &'static str) -> Result<Self> {
        let stdout = child
            .stdout
            .take()
            .context("the party's output is not connected")?;
        let stderr = child
            .stderr
            .take()
            .context("the party's messages are not connected")?;
        let echo = move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                println!("[{name}] {line}");
            }
        };
        // From here on an error drops, hence ends, the process.
        let mut party = Self {
            name,
            child,
            address: String::new(),
            echo: Some(thread::spawn(echo)),
        };
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .with_context(|| format!("the {name} says nothing"))?;
        match line.trim().strip_prefix("listening on ") {
            Some(address) => party.address = address.to_owned(),
            None => bail!("the {name} did not start to listen: its message stands above"),
        }
        println!("[{name}] process {}, {}", party.child.id(), line.trim());
        Ok(party)
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits for the end of its one session.
    ///
    /// # Errors
    /// If it fails, or does not end soon.
    pub fn finish(mut self) -> Result<()> {
        let status = self.wait(Duration::from_secs(10))?;
        self.join_echo();
        if !status.success() {
            bail!("the {} failed ({status}): its message stands above", self.name);
        }
        Ok(())
    }

    fn wait(&mut self, patience: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        while start.elapsed() < patience {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!(
            "the {} has not ended {} seconds after its session",
            self.name,
            patience.as_secs()
        )
    }

    fn join_echo(&mut self) {
        // The thread ends with the process that it listens to.
        if let Some(echo) = self.echo.take() {
            drop(echo.join());
        }
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        // Both fail only if the process has ended, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
        self.join_echo();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executables_are_found_by_name() {
        let messages = "not json\n\
            {\"target\":{\"name\":\"trefoil-party\"},\"executable\":\"/t/trefoil-party\"}\n\
            {\"target\":{\"name\":\"trefoil\"},\"executable\":null}\n\
            {\"target\":{\"name\":\"trefoil\"},\"executable\":\"/t/trefoil\"}\n";
        assert_eq!(executable(messages, "trefoil").unwrap(), Path::new("/t/trefoil"));
        assert_eq!(
            executable(messages, "trefoil-party").unwrap(),
            Path::new("/t/trefoil-party")
        );
        assert!(executable(messages, "other").is_err());
    }

    #[test]
    fn long_lines_break_before_flags() {
        let long = "x".repeat(50);
        let line = Line::new(Path::new("/bin/tool"), "run a.onnx").path("--one", Path::new(&long));
        let line = line.path("--two", Path::new(&long));
        assert_eq!(
            line.typed(),
            format!("tool run a.onnx --one {long} \\\n      --two {long}")
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_party_that_ends_early_is_an_error() {
        let line = Line::new(Path::new("/bin/sh"), "-c true");
        let error = line
            .serve(Path::new("/"), "server")
            .err()
            .expect("it never listens");
        assert!(
            error.to_string().contains("the server did not start to listen"),
            "{error}"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_party_ends_when_it_is_dropped() {
        let mut line = Line::new(Path::new("/bin/sh"), "-c");
        line.words
            .push("echo listening on here; exec sleep 100".to_owned());
        let party = line.serve(Path::new("/"), "helper").unwrap();
        assert_eq!(party.address(), "here");
        let start = Instant::now();
        drop(party);
        assert!(start.elapsed() < Duration::from_secs(10));
    }
}
