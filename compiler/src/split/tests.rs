//! Plans hold what their party needs and nothing else.

use trefoil_ir::Shape;
use trefoil_ir::nn::eval::FeatureMap;
use trefoil_ir::plan::{ClientPlan, HelperPlan, LOCAL_CLIENT, ServerPlan};

use super::*;
use crate::lower::{LowerOptions, lower};
use crate::pass::testing::{Net, Rng};
use crate::ranges::calibrate;

fn lowered() -> Lowered {
    let mut net = Net::new(7);
    let x = net.input(Shape::new(2, 6, 6));
    let a = net.conv(x, 4, 3);
    let a = net.clip(a, 1.0);
    let b = net.conv(a, 4, 3);
    let b = net.add(a, b);
    let b = net.relu(b);
    let b = net.flatten(b);
    let y = net.linear(b, 5);
    let graph = net.finish(y).verify().unwrap();
    let mut rng = Rng::new(1);
    let images: Vec<FeatureMap> = (0..4).map(|_| rng.image(Shape::new(2, 6, 6))).collect();
    let calibration = calibrate(&graph, images, |_| {}).unwrap();
    lower(&graph, &calibration, &LowerOptions::default()).unwrap()
}

fn plans(secret: u8) -> Plans {
    let classes = vec!["cat".to_owned()];
    split(
        &lowered(),
        &SecretSeed::new([secret; 32]),
        Some("size = 6".into()),
        classes,
    )
}

#[test]
fn shares_add_up_to_the_weights() {
    let (lowered, plans) = (lowered(), plans(1));
    for (at, constant) in lowered.program.constants.iter().enumerate() {
        let (client, server) = (&plans.client.constants[at], &plans.server.constants[at]);
        assert_eq!(server, &lowered.constants[at]);
        match constant.kind {
            ConstKind::Bias => assert!(client.is_none()),
            ConstKind::Multiplier | ConstKind::Level | ConstKind::SumLevel => {
                assert_eq!(client.as_ref(), Some(server))
            }
            ConstKind::Weight => {
                let b = weight_share(&plans.helper.weight_seed, ConstId(at as u32), server.len());
                let f = client.as_ref().unwrap().values();
                let sums = f.iter().zip(b).map(|(f, b)| f.wrapping_add(b as i32));
                assert_eq!(sums.collect::<Vec<_>>(), server.values());
                assert_ne!(f, server.values());
            }
        }
    }
}

#[test]
fn each_two_parties_share_a_key_that_the_third_lacks() {
    let Plans {
        client,
        server,
        helper,
        ..
    } = plans(1);
    let of_local = |key: &SecretSeed| key.for_client(&LOCAL_CLIENT);
    assert!(client.with_server == of_local(&server.with_client));
    assert!(client.with_helper == of_local(&helper.with_client));
    assert!(server.with_helper == helper.with_server);
    assert!(client.with_server != client.with_helper);
    assert!(client.with_server != server.with_helper);
    assert!(client.with_helper != server.with_helper);
}

#[test]
fn encoded_plans_decode_and_carry_no_note() {
    let Plans {
        public,
        client,
        server,
        helper,
    } = plans(1);
    assert!(public.program.steps.iter().all(|s| s.note.is_none()));
    let client = ClientPlan::decode(&ClientPlan::encode(&public, &client))
        .ok()
        .unwrap();
    let server = ServerPlan::decode(&ServerPlan::encode(&public, &server))
        .ok()
        .unwrap();
    let helper = HelperPlan::decode(&HelperPlan::encode(&public, &helper))
        .ok()
        .unwrap();
    assert!(client.digest() == server.digest() && server.digest() == helper.digest());
    assert_eq!(client.part.output.classes, ["cat"]);
    assert_eq!(client.part.preprocess.as_deref(), Some("size = 6"));
}

#[test]
fn one_secret_gives_one_result_and_another_secret_another() {
    let file = |secret| {
        let plans = plans(secret);
        ClientPlan::encode(&plans.public, &plans.client)
    };
    assert!(file(1) == file(1));
    assert!(file(1) != file(2));
}
