//! Splitting: from a lowered program to the plans of three parties.
//!
//! A weight W is split into F = W - B (mod 2^32), which travels in the client's plan, and B, of
//! which the helper gets the seed. The server has W. B is drawn from a seed that is bound to the
//! owner's secret and, by way of the plan id, to every integer of the plan: no B serves two plans,
//! or F1 - F2 would be W1 - W2.
//!
//! Each two parties get a key that the third lacks, to know each other by. The client's are those of a run in
//! one process; those of clients on machines of their own are made when they are deployed.

use trefoil_ir::Tensor;
use trefoil_ir::mpc::{ConstId, ConstKind};
use trefoil_ir::plan::{
    ClientPart, HelperPart, LOCAL_CLIENT, OutputDecoding, PairKeys, Public, SecretSeed, ServerPart, plan_id,
    weight_seed,
};
use trefoil_runtime::prg::weight_share;

use crate::lower::Lowered;

/// The plans of three parties, not yet encoded.
pub struct Plans {
    /// What all three know.
    pub public: Public,
    /// The client's part.
    pub client: ClientPart,
    /// The server's part.
    pub server: ServerPart,
    /// The helper's part.
    pub helper: HelperPart,
}

/// Splits a lowered program. `preprocess` and `classes` go into the client's plan, for its use
/// alone.
pub fn split(
    lowered: &Lowered,
    secret: &SecretSeed,
    preprocess: Option<String>,
    classes: Vec<String>,
) -> Plans {
    let id = plan_id(secret, &lowered.program, &lowered.constants);
    let seed = weight_seed(secret, &id);
    let keys = PairKeys::new(secret, &id);
    let declared = lowered
        .program
        .constants
        .iter()
        .zip(&lowered.constants)
        .enumerate();
    let constants = declared.map(|(at, (constant, tensor))| match constant.kind {
        ConstKind::Weight => Some(client_share(&seed, ConstId(at as u32), tensor)),
        ConstKind::Bias => None,
        ConstKind::Multiplier | ConstKind::Level | ConstKind::SumLevel => Some(tensor.clone()),
    });
    Plans {
        client: ClientPart {
            constants: constants.collect(),
            input: lowered.input.clone(),
            output: OutputDecoding {
                classes,
                ..lowered.output.clone()
            },
            preprocess,
            with_server: keys.client_server.for_client(&LOCAL_CLIENT),
            with_helper: keys.client_helper.for_client(&LOCAL_CLIENT),
        },
        public: Public {
            program: lowered.program.public(),
            plan_id: id,
        },
        server: ServerPart {
            constants: lowered.constants.clone(),
            with_client: keys.client_server,
            with_helper: keys.server_helper.clone(),
        },
        helper: HelperPart {
            weight_seed: seed,
            with_client: keys.client_helper,
            with_server: keys.server_helper,
        },
    }
}

/// F = W - B.
fn client_share(seed: &SecretSeed, id: ConstId, weight: &Tensor<i32>) -> Tensor<i32> {
    let share = weight_share(seed, id, weight.len());
    let pairs = weight.values().iter().zip(share);
    let values = pairs.map(|(w, b)| w.wrapping_sub(b as i32)).collect();
    Tensor::new(weight.dims().to_vec(), values).expect("a share has the dimensions of its weight")
}

#[cfg(test)]
mod tests;
