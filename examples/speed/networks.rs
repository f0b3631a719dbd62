//! The networks of a folder.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The files of one network.
pub(crate) struct Network {
    /// The folder's name.
    pub(crate) name: String,
    /// Where the plans are.
    pub(crate) plans: PathBuf,
    /// The images.
    pub(crate) input: PathBuf,
    /// The network in floats.
    pub(crate) model: Option<PathBuf>,
}

impl Network {
    /// The networks of a folder, by name, or the one that the folder itself holds.
    ///
    /// # Errors
    /// If the folder cannot be read or there is none in it.
    pub(crate) fn all(folder: &Path) -> Result<Vec<Network>> {
        if let Ok(network) = Self::of(folder) {
            return Ok(vec![network]);
        }
        let entries = folder.read_dir();
        let entries = entries.with_context(|| format!("{} cannot be read", folder.display()))?;
        let mut folders: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        folders.retain(|path| path.is_dir());
        folders.sort();
        let mut networks = Vec::new();
        for folder in folders {
            match Self::of(&folder) {
                Ok(network) => networks.push(network),
                Err(error) => eprintln!("{}: skipped, {error:#}", folder.display()),
            }
        }
        if networks.is_empty() {
            bail!(
                "{} holds no network: make a folder for each, with the three plans of `trefoil compile -o` \
                 and an input.npy",
                folder.display()
            );
        }
        Ok(networks)
    }

    fn of(folder: &Path) -> Result<Network> {
        let file = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        for name in ["client.plan", "server.plan", "helper.plan"] {
            file(name).with_context(|| format!("there is no {name}"))?;
        }
        let absolute = folder.canonicalize()?;
        Ok(Network {
            name: absolute
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            plans: folder.to_owned(),
            input: file("input.npy").context("there is no input.npy")?,
            model: file("model.onnx"),
        })
    }
}
