//! stub
use serde::Serialize;
#[derive(Clone, Debug, Serialize)]
/// stub
pub struct JointReport;
impl JointReport { /// stub
pub fn held_out(&self) -> f64 { 0.0 } }
impl std::fmt::Display for JointReport { fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str("joint") } }
/// stub
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct JointError;
/// stub
pub fn assign(_: &super::menu::Menu, _: &crate::calibrate::profile::Vectors, c: &[usize], _: u64) -> Result<(Vec<usize>, JointReport), JointError> { Ok((c.to_vec(), JointReport)) }
