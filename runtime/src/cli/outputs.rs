//! Where outputs and logits are written: the flags that `trefoil evaluate` and the parties share.

use std::path::{Path, PathBuf};

use trefoil_ir::tail::{Array, Prediction};

use super::error::CliError;
use crate::data::{DataError, write_arrays};

/// Files of results.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct OutputFiles {
    /// Writes the network's own output, of its own shape and type, as a .npy.
    #[arg(long, value_name = "O.npy", help_heading = "Results")]
    output: Option<PathBuf>,
    /// Writes what stands before a final softmax, argmax and the like, in float32: to a file of its
    /// own, or to that of --output in place of the output.
    #[arg(long, value_name = "L.npy", num_args = 0..=1, help_heading = "Results")]
    logits: Option<Option<PathBuf>>,
}

impl OutputFiles {
    /// The file for the network's own output.
    pub fn output(&self) -> Option<&Path> {
        match self.logits {
            Some(None) => None,
            Some(Some(_)) | None => self.output.as_deref(),
        }
    }

    /// The file for the logits.
    pub fn logits(&self) -> Option<&Path> {
        match &self.logits {
            Some(None) => self.output.as_deref(),
            Some(Some(path)) => Some(path),
            None => None,
        }
    }

    /// Whether nothing is to be written.
    pub fn are_none(&self) -> bool {
        self.output().is_none() && self.logits().is_none()
    }

    /// Refuses what could not be done, before work is done for it.
    ///
    /// # Errors
    /// If there is no file for the logits, both are to be in one, or a file could not be written.
    pub fn check(&self) -> Result<(), CliError> {
        if self.logits == Some(None) && self.output.is_none() {
            return Err(CliError::LogitsFile);
        }
        if let Some(output) = self.output()
            && let Some(logits) = self.logits()
            && place(output) == place(logits)
        {
            let path = output.to_owned();
            return Err(CliError::OneFile { path });
        }
        let mut paths = [self.output(), self.logits()].into_iter().flatten();
        paths.try_for_each(super::results::check_writable)
    }
}

/// Where a file is, or will be, however its folder is written.
fn place(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
    match (folder, path.file_name()) {
        (Some(folder), Some(name)) => folder.join(name),
        _ => path,
    }
}

/// The results that are to be written at the end.
#[derive(Default)]
pub struct Rows {
    outputs: Vec<Array>,
    logits: Vec<Array>,
}

impl Rows {
    /// Keeps of one image's result what a file is asked for.
    pub fn add(&mut self, files: &OutputFiles, prediction: Prediction) {
        if files.output().is_some() {
            self.outputs.push(prediction.output);
        }
        if files.logits().is_some() {
            self.logits.push(prediction.logits);
        }
    }

    /// Writes the files that are asked for.
    ///
    /// # Errors
    /// If one cannot be written.
    pub fn write(&self, files: &OutputFiles) -> Result<(), DataError> {
        for (path, rows) in [(files.output(), &self.outputs), (files.logits(), &self.logits)] {
            if let Some(path) = path {
                write_arrays(path, rows)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        files: OutputFiles,
    }

    #[test]
    fn logits_have_a_file_of_their_own_or_the_outputs() {
        let paths = |line: &str| {
            let Line { files } = Line::parse_from(line.split(' '));
            let name = |path: Option<&Path>| path.map(|p| p.display().to_string()).unwrap_or_default();
            (name(files.output()), name(files.logits()), files.check().is_ok())
        };
        let expected = |output: &str, logits: &str, ok| (output.to_owned(), logits.to_owned(), ok);
        assert_eq!(paths("x --output o"), expected("o", "", true));
        assert_eq!(paths("x --output o --logits"), expected("", "o", true));
        assert_eq!(paths("x --logits l --output o"), expected("o", "l", true));
        assert_eq!(paths("x --logits l"), expected("", "l", true));
        assert_eq!(paths("x --logits"), expected("", "", false));
        assert_eq!(paths("x --output none/o"), expected("none/o", "", false));
    }

    #[test]
    fn one_file_does_not_take_both() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().display().to_string();
        let check = |output: &str, logits: &str| {
            let line = format!("x --output {folder}/{output} --logits {folder}/{logits}");
            Line::parse_from(line.split(' ')).files.check()
        };
        std::fs::create_dir(format!("{folder}/sub")).unwrap();
        for logits in ["o", "./o", "sub/../o"] {
            let refused = check("o", logits).unwrap_err();
            assert!(matches!(refused, CliError::OneFile { .. }), "{logits}: {refused}");
        }
        check("o", "sub/o").unwrap();
    }
}
