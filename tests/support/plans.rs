//! Plans of a small program, made without a network: for tests of what moves between parties.

use std::fs;
use std::path::Path;

use trefoil_ir::Tensor;
use trefoil_ir::mpc::{ConstId, ConstKind, Program, ValueId};
use trefoil_ir::plan::{
    ClientPart, ClientPlan, HelperPart, HelperPlan, InputEncoding, LOCAL_CLIENT, OutputDecoding, PairKeys,
    Public, SecretSeed, ServerPart, ServerPlan, plan_id, weight_seed,
};
use trefoil_ir::tail::Tail;
use trefoil_ir::text::TensorStore;
use trefoil_runtime::prg::weight_share;

/// Every kind of message occurs in it.
const PROGRAM: &str = r#"program "small" {
  const c0 : weight[4,2,3,3] random(1, 3000)
  const c1 : bias[4] random(2, 1000000)
  const c2 : weight[3,4,1,1] random(3, 6000)
  const c3 : bias[3] random(4, 1000000)
  %0 = input {shape=[2, 6, 5]} : act<2x6x5> @"image"
  %1 = conv2d %0 {weight=c0, bias=c1, channels=4, kernel=[3, 3], pads=[1, 1, 1, 1]} : acc<4x6x5> @"conv1"
  %2 = truncate %1 {keep=[16*4]} : tr<4x6x5> @"relu"
  %3 = block_relu %2 {patches=[1x1, 2x2, 0x1, 4x3]} : act<4x6x5> @"relu"
  %4 = conv2d %3 {weight=c2, bias=c3, channels=3, kernel=[1, 1]} : acc<3x6x5> @"conv2"
  %5 = truncate %4 {keep=[16*3]} : tr<3x6x5> @"conv2"
  %6 = reveal %5 : out<3x6x5> @"conv2"
}
"#;

/// Channels, height and width of the image.
pub(crate) const IMAGE: [usize; 3] = [2, 6, 5];

/// The plans of one compilation, as files.
#[derive(Clone)]
pub(crate) struct Plans {
    pub(crate) client: Vec<u8>,
    pub(crate) server: Vec<u8>,
    pub(crate) helper: Vec<u8>,
}

impl Plans {
    /// The compilation of the small program under this secret.
    pub(crate) fn new(secret: u8) -> Self {
        Self::of(PROGRAM, secret)
    }

    /// The compilation of a program in its text form, which gives its constants' values.
    pub(crate) fn of(text: &str, secret: u8) -> Self {
        let (program, constants) =
            Program::parse_verified(text, &TensorStore::new()).unwrap_or_else(|faults| panic!("{faults}"));
        let constants: Vec<Tensor<i32>> = constants.into_iter().map(|c| c.expect("it has values")).collect();
        let secret = SecretSeed::new([secret; 32]);
        let public = Public {
            plan_id: plan_id(&secret, &program, &constants),
            program: program.into_inner(),
        };
        let keys = PairKeys::new(&secret, &public.plan_id);
        let weight_seed = weight_seed(&secret, &public.plan_id);
        let of_client = |(at, tensor): (usize, &Tensor<i32>)| match public.program.constants[at].kind {
            ConstKind::Bias => None,
            ConstKind::Multiplier | ConstKind::Level | ConstKind::SumLevel => Some(tensor.clone()),
            ConstKind::Weight => {
                let share = weight_share(&weight_seed, ConstId(at as u32), tensor.len());
                let values = tensor
                    .values()
                    .iter()
                    .zip(share)
                    .map(|(w, b)| w.wrapping_sub(b as i32));
                Some(Tensor::new(tensor.dims().to_vec(), values.collect()).expect("as many as before"))
            }
        };
        let unit_of = |id| vec![1.0 / 1024.0; public.program.ty(id).shape.c];
        let output = public.program.output().expect("the verifier has seen one");
        let client = ClientPart {
            constants: constants.iter().enumerate().map(of_client).collect(),
            input: InputEncoding {
                unit: unit_of(ValueId(0)),
            },
            output: OutputDecoding {
                unit: unit_of(output),
                linear: vec![],
                tail: Tail::map(public.program.ty(output).shape),
                classes: vec![],
            },
            preprocess: None,
            with_server: keys.client_server.for_client(&LOCAL_CLIENT),
            with_helper: keys.client_helper.for_client(&LOCAL_CLIENT),
        };
        let server = ServerPart {
            constants,
            with_client: keys.client_server,
            with_helper: keys.server_helper.clone(),
        };
        let helper = HelperPart {
            weight_seed,
            with_client: keys.client_helper,
            with_server: keys.server_helper,
        };
        Self {
            client: ClientPlan::encode(&public, &client),
            server: ServerPlan::encode(&public, &server),
            helper: HelperPlan::encode(&public, &helper),
        }
    }

    /// Writes the files that the parties read.
    pub(crate) fn write(&self, folder: &Path) {
        for (name, bytes) in [
            ("client.plan", &self.client),
            ("server.plan", &self.server),
            ("helper.plan", &self.helper),
        ] {
            fs::write(folder.join(name), bytes).expect("the temporary folder is writable");
        }
    }
}
