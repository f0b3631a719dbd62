//! The parts of plans: what all parties know, and what is one party's alone.

use serde::{Deserialize, Serialize};

use super::encoding::{InputEncoding, OutputDecoding};
use super::identity::{Digest, PlanId};
use super::seed::SecretSeed;
use crate::Verified;
use crate::mpc::Program;
use crate::mpc::privacy::Proof;
use crate::nn::Graph;
use crate::tensor::Tensor;

/// What all three parties know.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Public {
    /// The program, without the owner's notes.
    pub program: Program,
    /// Which compilation this is.
    pub plan_id: PlanId,
}

/// What is in the client's plan alone.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientPart {
    /// What the client has of each constant, in the program's order: F of a weight, multipliers and
    /// levels; none for a bias.
    pub constants: Vec<Option<Tensor<i32>>>,
    /// How the image becomes units.
    pub input: InputEncoding,
    /// How the revealed units become a prediction.
    pub output: OutputDecoding,
    /// Preprocessing of images, as the TOML text of its description.
    pub preprocess: Option<String>,
    /// [`PairKeys::client_server`](super::PairKeys), of this client.
    pub with_server: SecretSeed,
    /// [`PairKeys::client_helper`](super::PairKeys), of this client.
    pub with_helper: SecretSeed,
}

/// What is in the server's plan alone.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerPart {
    /// The values of every constant, in the program's order.
    pub constants: Vec<Tensor<i32>>,
    /// [`PairKeys::client_server`](super::PairKeys).
    pub with_client: SecretSeed,
    /// [`PairKeys::server_helper`](super::PairKeys).
    pub with_helper: SecretSeed,
}

/// What is in the helper's plan alone.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct HelperPart {
    /// Seed of B, the helper's share of the weights.
    pub weight_seed: SecretSeed,
    /// [`PairKeys::client_helper`](super::PairKeys).
    pub with_client: SecretSeed,
    /// [`PairKeys::server_helper`](super::PairKeys).
    pub with_server: SecretSeed,
}

/// A plan: the verified program and one party's part.
pub struct Plan<P> {
    public: Verified<Program>,
    proof: Proof,
    plan_id: PlanId,
    digest: Digest,
    /// What is this party's alone.
    pub part: P,
}

/// The client's plan.
pub type ClientPlan = Plan<ClientPart>;
/// The server's plan.
pub type ServerPlan = Plan<ServerPart>;
/// The helper's plan.
pub type HelperPlan = Plan<HelperPart>;

impl ClientPlan {
    /// The same plan for the client with this public key; server's and helper's plan of the same compilation
    /// have the keys. `None` if one of them is of another compilation.
    pub fn for_client(
        &self,
        server: &ServerPlan,
        helper: &HelperPlan,
        public_key: &[u8; 32],
    ) -> Option<ClientPart> {
        let is_same = self.digest == server.digest && self.digest == helper.digest;
        is_same.then(|| ClientPart {
            with_server: server.part.with_client.for_client(public_key),
            with_helper: helper.part.with_client.for_client(public_key),
            ..self.part.clone()
        })
    }
}

impl<P> Plan<P> {
    pub(super) fn new(
        program: Verified<Program>,
        proof: Proof,
        plan_id: PlanId,
        digest: Digest,
        part: P,
    ) -> Self {
        Self {
            public: program,
            proof,
            plan_id,
            digest,
            part,
        }
    }

    /// The program.
    pub fn program(&self) -> &Verified<Program> {
        &self.public
    }

    /// That the program's messages tell their receivers nothing, as this party has proved for itself.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Which compilation this is.
    pub fn plan_id(&self) -> PlanId {
        self.plan_id
    }

    /// Hash of the public part.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

/// The model owner's record of a compilation.
#[derive(Clone, Serialize, Deserialize)]
pub struct Owner {
    /// The program with its notes.
    pub program: Program,
    /// Which compilation this is.
    pub plan_id: PlanId,
    /// The values of every constant, in the program's order.
    pub constants: Vec<Tensor<i32>>,
    /// The network after all passes, tail included.
    pub graph: Graph,
    /// The network as it was imported.
    pub imported: Graph,
    /// The patches with which it was compiled, as the JSON text of an assignment for the imported
    /// network; none where every pixel keeps its signs.
    pub assignment: Option<String>,
    /// How the image becomes units.
    pub input: InputEncoding,
    /// How the revealed units become a prediction.
    pub output: OutputDecoding,
    /// Preprocessing of images, as the TOML text of its description.
    pub preprocess: Option<String>,
    /// Number of images that the ranges were taken from.
    pub calibration_images: usize,
}
