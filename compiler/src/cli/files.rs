//! Reading and writing files of a compilation.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use trefoil_ir::plan::{ClientPlan, HelperPlan, Owner, PlanError, PlanId, Role, ServerPlan, decode_role};
use trefoil_runtime::data::{DataSet, Preprocess};
use trefoil_runtime::files::{self, PrivateFile};
use zeroize::Zeroizing;

use crate::patches::Assignment;

/// Name of the owner's record within a folder of plans.
pub(super) const OWNER_FILE: &str = "owner.plan";

/// Writes a file that only its owner may read, whole or not at all.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    files::write_private(path, bytes).with_context(|| format!("{} cannot be written", path.display()))
}

/// Refuses a file that cannot be written, before work is done for it. Leaves nothing behind.
pub(super) fn check_writable(path: &Path) -> Result<()> {
    let begun = PrivateFile::create(path).map(drop);
    begun.with_context(|| format!("{} cannot be written", path.display()))
}

/// Whether a file begins as a plan does, damaged or of another version as it may be.
pub(super) fn is_plan(bytes: &[u8]) -> bool {
    !matches!(decode_role(bytes), Err(PlanError::NotAPlan))
}

/// Which compilation a plan is of, whosever it is.
pub(super) fn plan_id(bytes: &[u8]) -> Result<PlanId, PlanError> {
    match decode_role(bytes)? {
        Role::Client => ClientPlan::decode(bytes).map(|plan| plan.plan_id()),
        Role::Server => ServerPlan::decode(bytes).map(|plan| plan.plan_id()),
        Role::Helper => HelperPlan::decode(bytes).map(|plan| plan.plan_id()),
        Role::Owner => Owner::decode(bytes).map(|owner| owner.plan_id),
    }
}

/// Reads a preprocessing description with its text.
pub(super) fn read_preprocess(path: Option<&Path>) -> Result<Option<(Preprocess, String)>> {
    let Some(path) = path else { return Ok(None) };
    let preprocess = Preprocess::load(path)?;
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Some((preprocess, text)))
}

/// Reads the patches of ReLUs that the user wrote down.
pub(super) fn read_assignment(path: &Path) -> Result<Assignment> {
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Assignment::parse(&text).with_context(|| format!("the assignment {} cannot be used", path.display()))
}

/// The owner's record in a folder of plans.
pub(super) fn read_owner(folder: &Path) -> Result<Owner> {
    let path = folder.join(OWNER_FILE);
    if !path.is_file() {
        bail!(
            "{} holds no {OWNER_FILE}: give the folder that `trefoil compile` wrote (the owner's record is needed, \
             the parties' plans are not enough)",
            folder.display()
        );
    }
    let bytes = fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    let bytes = Zeroizing::new(bytes);
    Owner::decode(&bytes).with_context(|| format!("{} cannot be used", path.display()))
}

/// The preprocessing that travels in a record.
pub(super) fn preprocess_of(owner: &Owner) -> Result<Option<Preprocess>> {
    owner
        .preprocess
        .as_deref()
        .map(Preprocess::from_toml)
        .transpose()
        .context("the plan's preprocessing is damaged")
}

/// Opens a data set.
pub(super) fn open_data(
    arguments: &super::DataArguments,
    preprocess: Option<&Preprocess>,
    shape: trefoil_ir::Shape,
) -> Result<DataSet> {
    let data = DataSet::open(&arguments.data, preprocess, arguments.labels.as_deref())?;
    let data = data.take(arguments.images.unwrap_or(usize::MAX));
    if data.is_empty() {
        bail!("{} holds no image", arguments.data.display());
    }
    Ok(data.expect_shape((shape.c, shape.h, shape.w))?)
}
