//! What a command tells of itself: completions for a shell, manual pages, and its long version.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use clap::Command;
use clap_complete::Shell;
use trefoil_ir::plan::FORMAT_VERSION;

use crate::kernel::Isa;
use crate::session::PROTOCOL_VERSION;

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct Man {
    /// Folder to write the pages to; it is made if it is not there.
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
}

/// The completions of a command, for the standard output.
pub fn completions(arguments: &Completions, mut command: Command) -> String {
    let mut script = Vec::new();
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Writes a manual page for a command and one for each of its commands; returns their paths.
///
/// # Errors
/// If the folder or a file in it cannot be written.
pub fn man(folder: &Path, mut command: Command) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)?;
    command.build();
    pages(folder, &command)
}

fn pages(folder: &Path, command: &Command) -> io::Result<Vec<PathBuf>> {
    let page = clap_mangen::Man::new(command.clone());
    let path = folder.join(page.get_filename());
    let mut file = fs::File::create(&path)?;
    page.render(&mut file)?;
    file.flush()?;
    let mut paths = vec![path];
    for command in command.get_subcommands() {
        if !command.is_hide_set() && command.get_name() != "help" {
            paths.extend(pages(folder, command)?);
        }
    }
    Ok(paths)
}

/// What `--version` says beside the name (`-V` gives the first line): what this program must have in
/// common with other parties', and which of this machine's instructions it uses.
pub fn long_version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let available = Isa::available();
        let available: Vec<String> = available.iter().map(ToString::to_string).collect();
        format!(
            "{}\nplan format  {FORMAT_VERSION}\nprotocol     {PROTOCOL_VERSION}\nCPU path     {} (this machine has {})",
            env!("CARGO_PKG_VERSION"),
            Isa::detect(),
            available.join(", ")
        )
    });
    &TEXT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        let inner = Command::new("merge").about("Merges.");
        Command::new("tool")
            .about("A tool.")
            .subcommand(Command::new("profile").subcommand(inner))
            .subcommand(Command::new("secret").hide(true))
    }

    #[test]
    fn every_shown_command_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let paths = man(&folder.path().join("new"), command()).unwrap();
        let names: Vec<&str> = paths
            .iter()
            .map(|p| p.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["tool.1", "tool-profile.1", "tool-profile-merge.1"]);
        assert!(fs::read_to_string(&paths[2]).unwrap().contains("Merges."));
    }

    #[test]
    fn the_version_says_what_parties_must_share() {
        let command = Command::new("tool").version("1.2.3").long_version(long_version());
        assert_eq!(command.render_version(), "tool 1.2.3\n");
        let long = command.render_long_version();
        assert!(long.contains("plan format") && long.contains("scalar"), "{long}");
    }

    #[test]
    fn shells_complete_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completions(&Completions { shell }, command());
            assert!(script.contains("profile") && script.contains("tool"), "{shell}");
        }
    }
}
