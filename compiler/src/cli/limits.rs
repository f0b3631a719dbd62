//! What a command may take of the machine.

use trefoil_runtime::amount;

use super::NUMBERS;
use crate::driver::Limits;

#[derive(Debug, clap::Args)]
pub(super) struct LimitArguments {
    /// Memory that may be used, such as 4GB; three quarters of what is free unless stated. Where it is
    /// scarce, fewer images run at a time; a network of which not even one can is refused.
    #[arg(long, value_name = "BYTES", value_parser = amount::bytes, help_heading = NUMBERS)]
    memory: Option<u64>,
    /// Multiply-adds that one image may take, such as 20T; 4T unless stated, minutes on a core.
    #[arg(long, value_name = "N", value_parser = amount::count, help_heading = NUMBERS)]
    work: Option<u64>,
}

impl LimitArguments {
    pub(super) fn limits(&self) -> Limits {
        let default = Limits::default();
        Limits {
            memory: self.memory.unwrap_or(default.memory),
            work: self.work.unwrap_or(default.work),
        }
    }
}
