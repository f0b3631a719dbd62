//! The smallest plans that there are, for tests: the image goes to the server masked, and comes
//! back.

use trefoil_ir::mpc::{Party, Program, op};
use trefoil_ir::plan::{
    ClientPart, ClientPlan, HelperPart, HelperPlan, InputEncoding, LOCAL_CLIENT, OutputDecoding, PairKeys,
    PlanId, Public, SecretSeed, ServerPart, ServerPlan,
};
use trefoil_ir::tail::Tail;
use trefoil_ir::{Patch, Shape};

use super::Identity;
use crate::keys::PublicKey;

/// Shape of the image and of the output.
pub(crate) const SHAPE: Shape = Shape::new(2, 3, 3);

/// An image of that shape, in units.
pub(crate) fn image(first: i32) -> Vec<i32> {
    (first..).step_by(7).take(SHAPE.len()).collect()
}

/// The same as the plan reveals it.
pub(crate) fn revealed(first: i32) -> Vec<i64> {
    image(first).into_iter().map(i64::from).collect()
}

/// The plan files of one compilation.
pub(crate) struct Files {
    pub(crate) client: Vec<u8>,
    pub(crate) server: Vec<u8>,
    pub(crate) helper: Vec<u8>,
}

/// The files of compilation `number`; others are another compilation's.
pub(crate) fn files(number: u8) -> Files {
    let mut program = Program::new("echo");
    let x = program.push(op::Input { shape: SHAPE }, &[], "x").unwrap();
    program.push(op::Reveal, &[x], "y").unwrap();
    files_of(number, program)
}

/// The files of a program with a ReLU of each pixel, whose masks all three must agree on.
pub(crate) fn files_with_a_gate(number: u8) -> Files {
    let mut program = Program::new("relu");
    let x = program.push(op::Input { shape: SHAPE }, &[], "x").unwrap();
    let patches = vec![Patch::PIXEL; SHAPE.c];
    let y = program.push(op::Relu::new(patches), &[x], "y").unwrap();
    program.push(op::Reveal, &[y], "z").unwrap();
    files_of(number, program)
}

fn files_of(number: u8, program: Program) -> Files {
    let public = Public {
        program,
        plan_id: PlanId([number; 32]),
    };
    let keys = PairKeys::new(&SecretSeed::new([number; 32]), &public.plan_id);
    let client = ClientPart {
        constants: vec![],
        input: InputEncoding { unit: vec![0.5; 2] },
        output: OutputDecoding {
            unit: vec![0.5; 2],
            linear: vec![],
            tail: Tail::map(SHAPE),
            classes: vec![],
        },
        preprocess: None,
        with_server: keys.client_server.for_client(&LOCAL_CLIENT),
        with_helper: keys.client_helper.for_client(&LOCAL_CLIENT),
    };
    let server = ServerPart {
        constants: vec![],
        with_client: keys.client_server,
        with_helper: keys.server_helper.clone(),
    };
    let helper = HelperPart {
        weight_seed: SecretSeed::new([number; 32]),
        with_client: keys.client_helper,
        with_server: keys.server_helper,
    };
    Files {
        client: ClientPlan::encode(&public, &client),
        server: ServerPlan::encode(&public, &server),
        helper: HelperPlan::encode(&public, &helper),
    }
}

/// The client's plan of compilation `number`.
pub(crate) fn client_plan(number: u8) -> ClientPlan {
    ClientPlan::decode(&files(number).client).unwrap_or_else(|error| panic!("{error}"))
}

/// Who the client with this key is, with the plan of compilation `number` that was made for it.
pub(crate) fn client_identity(number: u8, key: &PublicKey) -> Identity {
    let (server, helper) = (server_plan(number), helper_plan(number));
    let plan = client_plan(number);
    let mut own = Identity::from(&plan);
    let part = plan.for_client(&server, &helper, key.as_bytes()).unwrap();
    own.keys = [
        (Party::Server, part.with_server),
        (Party::Helper, part.with_helper),
    ];
    own
}

/// The server's.
pub(crate) fn server_plan(number: u8) -> ServerPlan {
    ServerPlan::decode(&files(number).server).unwrap_or_else(|error| panic!("{error}"))
}

/// The helper's.
pub(crate) fn helper_plan(number: u8) -> HelperPlan {
    HelperPlan::decode(&files(number).helper).unwrap_or_else(|error| panic!("{error}"))
}
