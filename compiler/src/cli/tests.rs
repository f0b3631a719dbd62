//! The command lines as a whole: what messages, examples and the README say of them is so.

mod source;

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Command, CommandFactory, Parser};
use trefoil_runtime::cli::args::Args as PartyArguments;

use super::Arguments;
use source::{Text, flags, texts};

fn trefoil() -> Command {
    let mut command = Arguments::command();
    command.build();
    command
}

fn party() -> Command {
    let mut command = PartyArguments::command();
    command.build();
    command
}

/// The flags of a command and of those in it; with their old names, if `hidden` says so.
fn flags_of(command: &Command, hidden: bool) -> BTreeSet<String> {
    let mut flags = BTreeSet::new();
    for argument in command.get_arguments() {
        flags.extend(argument.get_long().map(str::to_owned));
        if hidden {
            flags.extend(
                argument
                    .get_all_aliases()
                    .unwrap_or_default()
                    .into_iter()
                    .map(str::to_owned),
            );
        }
    }
    for command in command.get_subcommands() {
        flags.extend(flags_of(command, hidden));
    }
    flags
}

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn flags_that_messages_name_exist() {
    let (own, partys) = (flags_of(&trefoil(), false), flags_of(&party(), false));
    let mut seen = 0;
    for (folder, is_of_compiler) in [("compiler/src", true), ("runtime/src", false), ("ir/src", false)] {
        for Text { place, text } in texts(&workspace().join(folder)) {
            for flag in flags(&text) {
                seen += 1;
                // The compiler's own, unless it speaks of the other program; data are read by both.
                let allowed = own.contains(flag)
                    || (!is_of_compiler || text.contains("trefoil-party")) && partys.contains(flag)
                    || text.contains("cargo ");
                assert!(allowed, "{place}: there is no --{flag}: {text}");
            }
        }
    }
    assert!(seen > 60, "only {seen} flags were found: the search is broken");
}

/// `println!` panics on a closed pipe; what goes through `terminal` does not.
#[test]
fn nothing_is_printed_but_through_the_terminal() {
    for folder in ["compiler/src", "runtime/src", "ir/src"] {
        for (place, line) in source::lines(&workspace().join(folder)) {
            for way in ["println!(", "print!(", "dbg!("] {
                assert!(!line.contains(way), "{place}: {line}");
            }
        }
    }
}

/// The examples below a command's help, without those that say `...`.
fn examples(command: &Command) -> Vec<String> {
    let help = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let help = help.replace("\\\n", " ");
    let lines = help.lines().filter(|line| line.starts_with("  trefoil"));
    let lines = lines.map(|line| {
        line.split(['#', ';'])
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned()
    });
    lines.filter(|line| !line.contains("...")).collect()
}

#[test]
fn every_command_has_an_example_that_is_understood() {
    let (whole, party) = (trefoil(), party());
    for command in whole
        .get_subcommands()
        .chain([&whole])
        .chain(party.get_subcommands())
    {
        let name = command.get_name();
        if matches!(name, "help" | "completions" | "man") {
            continue;
        }
        let examples = examples(command);
        assert!(!examples.is_empty(), "{name} has no example");
        for example in examples {
            let words: Vec<&str> = example.split_whitespace().collect();
            let refused = match words[0] {
                "trefoil-party" => PartyArguments::try_parse_from(&words).err(),
                _ => Arguments::try_parse_from(&words).err(),
            };
            assert!(refused.is_none(), "{example}: {}", refused.unwrap());
        }
    }
}

/// What was called so before is understood still.
#[test]
fn old_names_are_understood() {
    for line in [
        "compile m.onnx --calibration c --calibration-images 3 -o p",
        "compile m.onnx --data c --images 3 --output p --uniform 2,2",
        "calibrate m.onnx --data c --images 3 -o p",
        "calibrate m.onnx --calibration c --out p",
        "profile check p --model m.onnx --data c --images 2",
        "sweep m.onnx --profile p -o o.csv --uniform 2x2 --uniform 2,2 --plot s.svg --plot-x bytes",
    ] {
        let words = std::iter::once("trefoil").chain(line.split(' '));
        if let Err(error) = Arguments::try_parse_from(words) {
            panic!("{line}: {error}");
        }
    }
}

/// The rows of the README's table of commands: the command's words, and the flags of its row.
fn rows() -> Vec<(Vec<String>, String)> {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let table = readme
        .split("\n## Commands\n")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let row = |line: &str| {
        // `\|` stands for itself within a row.
        let line = line.replace("\\|", "/");
        let cells: Vec<&str> = line.split('|').collect();
        let command = cells.get(1)?.trim().trim_matches('`').to_owned();
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let is_row = words.first().is_some_and(|word| word.starts_with("trefoil"));
        is_row.then(|| (words, cells[2].to_owned()))
    };
    table.lines().filter_map(row).collect()
}

#[test]
fn the_table_of_the_readme_names_every_command_and_flag() {
    let rows = rows();
    let shown = |name: &&str| !matches!(*name, "help");
    for whole in [trefoil(), party()] {
        for command in whole.get_subcommands().filter(|c| shown(&c.get_name())) {
            let name = command.get_name();
            let row = rows
                .iter()
                .find(|(words, _)| words[0] == whole.get_name() && words[1].split('/').any(|w| w == name));
            let Some((_, cells)) = row else {
                panic!("README has no row for `{} {name}`", whole.get_name());
            };
            let has = flags_of(command, false);
            let named: BTreeSet<String> = flags(cells).map(str::to_owned).collect();
            let unknown: Vec<&String> = named.difference(&has).collect();
            assert!(unknown.is_empty(), "README: {name} has no {unknown:?}");
            // Of another row as well.
            if ["the same", "what `", "as `"]
                .iter()
                .any(|word| cells.contains(word))
            {
                continue;
            }
            let general = ["help", "version", "out"];
            let missing: Vec<&String> = has
                .difference(&named)
                .filter(|flag| !general.contains(&flag.as_str()))
                .collect();
            assert!(missing.is_empty(), "README: the row of {name} lacks {missing:?}");
        }
    }
}
