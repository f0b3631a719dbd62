//! Plan files.

use std::fs;
use std::path::Path;

use trefoil_ir::plan::{ClientPlan, HelperPlan, PlanError, ServerPlan};
use zeroize::Zeroizing;

use super::error::CliError;

/// Reads the client's plan.
///
/// # Errors
/// If the file cannot be read, is damaged, or is another party's.
pub fn client(path: &Path) -> Result<ClientPlan, CliError> {
    read(path, ClientPlan::decode)
}

/// Reads the server's plan.
///
/// # Errors
/// If the file cannot be read, is damaged, or is another party's.
pub fn server(path: &Path) -> Result<ServerPlan, CliError> {
    read(path, ServerPlan::decode)
}

/// Reads the helper's plan.
///
/// # Errors
/// If the file cannot be read, is damaged, or is another party's.
pub fn helper(path: &Path) -> Result<HelperPlan, CliError> {
    read(path, HelperPlan::decode)
}

fn read<P>(path: &Path, decode: impl FnOnce(&[u8]) -> Result<P, PlanError>) -> Result<P, CliError> {
    // It holds keys and weights, or shares of them.
    let file = fs::read(path).map(Zeroizing::new);
    let file = file.map_err(|source| CliError::ReadPlan {
        path: path.to_owned(),
        source,
    })?;
    decode(&file).map_err(|source| CliError::Plan {
        path: path.to_owned(),
        source,
    })
}
