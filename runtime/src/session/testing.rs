//! The smallest plans that there are, for tests: the image goes to the server masked, and comes
//! back.

use trefoil_ir::mpc::{Program, op};
use trefoil_ir::plan::{
    ClientPart, ClientPlan, HelperPart, HelperPlan, InputEncoding, OutputDecoding, PlanId, Public,
    SecretSeed, ServerPart, ServerPlan,
};
use trefoil_ir::shape::Shape;

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
    let public = Public {
        program,
        plan_id: PlanId([number; 32]),
    };
    let client = ClientPart {
        constants: vec![],
        input: InputEncoding { unit: vec![0.5; 2] },
        output: OutputDecoding {
            unit: vec![0.5; 2],
            rank: 4,
            tail: vec![],
            classes: vec![],
        },
        preprocess: None,
    };
    Files {
        client: ClientPlan::encode(&public, &client),
        server: ServerPlan::encode(&public, &ServerPart { constants: vec![] }),
        helper: HelperPlan::encode(
            &public,
            &HelperPart {
                weight_seed: SecretSeed::new([number; 32]),
            },
        ),
    }
}

/// The client's plan of compilation `number`.
pub(crate) fn client_plan(number: u8) -> ClientPlan {
    ClientPlan::decode(&files(number).client).unwrap_or_else(|error| panic!("{error}"))
}

/// The server's.
pub(crate) fn server_plan(number: u8) -> ServerPlan {
    ServerPlan::decode(&files(number).server).unwrap_or_else(|error| panic!("{error}"))
}

/// The helper's.
pub(crate) fn helper_plan(number: u8) -> HelperPlan {
    HelperPlan::decode(&files(number).helper).unwrap_or_else(|error| panic!("{error}"))
}
