//! Every op is proved private, and every rule is seen to bite.

use std::fmt::Write as _;
use std::time::Instant;

use super::*;
use crate::mpc::ValueId;
use crate::mpc::gate::{Content, WIDE};
use crate::mpc::message::{Section, Stage};
use crate::mpc::program::ConstId;
use crate::mpc::tests::{chain, verified};

/// Every op, and gates of every form.
const ALL: &str = "
    const c0 : weight[4, 1, 1, 1]
    const c1 : bias[4]
    const c2 : level[4]
    const c3 : multiplier[4]
    const c4 : multiplier[4, 2, 2]
    const c5 : weight[4, 4, 1, 1]
    const c6 : multiplier[2]
    const c7 : sum_level[4]
    %0 = input {shape=[1, 4, 4]}
    %1 = conv2d %0 {weight=c0, bias=c1, channels=4, kernel=[1, 1]}
    %2 = truncate %1 {keep=[16, 15, 16, 16]}
    %3 = block_relu %2 {patches=[0x1, 1x1, 2x2, 2x1]}
    %4 = conv2d %3 {weight=c5, channels=4, kernel=[1, 1]}
    %5 = lift %3 {multiplier=c3}
    %6 = add %4, %5
    %7 = truncate %6 {keep=[16*4]}
    %8 = clip %7 {level=c2, lower=[1x1, 2x2, 1x1, 0x1], upper=[1x1, 2x2, 2x2, 1x1]}
    %9 = truncate %5 {keep=[16*4]}
    %10 = requant %9
    %11 = max %8, %10 {non_negative=false}
    %12 = relu %11 {patches=[1x1, 0x1, 1x1, 1x1]}
    %13 = lift %12 {multiplier=c3}
    %14 = truncate %13 {keep=[16*4]}
    %15 = pool_sums %12 {multiplier=c6, of=[0, 1], patches=[4x4*2]}
    %16 = truncate_sums %15
    %17 = clip %14, %16 {level=c2, sum_level=c7, lower=[4x4, 4x4, 1x1, 0x1], upper=[4x4, 4x4, 2x2, 0x1]}
    %18 = sum_pool %17 {kernel=[2, 2], stride=[2, 2], multiplier=c4}
    %19 = truncate %18 {keep=[16*4]}
    %20 = clip %19 {level=c2, lower=[1x1, 2x2, 1x1, 0x1], upper=[1x1, 2x2, 2x2, 1x1], rounds=1}
    %21 = reveal %20";

/// A program and what it declares, to be broken.
struct Case {
    program: Verified<Program>,
    declared: Declared,
}

const INPUT: usize = 0;
const TRUNCATE: usize = 2;
const RELU: usize = 3;
const CLIP: usize = 8;
const REQUANT: usize = 10;
const LIFT: usize = 5;
const SUMS: usize = 16;
const AT_ONCE: usize = 20;
const REVEAL: usize = 21;

impl Case {
    fn new() -> Self {
        let program = verified(ALL);
        let declared = Declared::of(&program);
        Self { program, declared }
    }

    /// The rules that a change breaks, and where.
    fn broken(change: impl FnOnce(&mut Declared)) -> Vec<(Rule, Place)> {
        let mut case = Self::new();
        change(&mut case.declared);
        let breaches = check(&case.program, &case.declared).expect_err("the change leaks");
        assert!(
            breaches
                .iter()
                .all(|breach| breach.to_string().contains(&breach.message))
        );
        breaches
            .into_iter()
            .map(|breach| (breach.rule, breach.place))
            .collect()
    }
}

/// Changes one field of a step.
fn change(step: usize, at: usize, change: impl FnOnce(&mut Field)) -> impl FnOnce(&mut Declared) {
    move |declared| change(&mut declared.steps[step].fields[at])
}

/// The place of a gate's field in its step.
fn field_of(step: usize, wanted: FieldId) -> usize {
    let case = Case::new();
    let fields = &case.declared.steps[step].fields;
    fields
        .iter()
        .position(|field| field.id == wanted)
        .expect("the step has this field")
}

fn gate(group: usize, content: Content) -> FieldId {
    FieldId::Gate { group, content }
}

fn draw_of(field: &mut Field) -> &mut DrawId {
    match &mut field.mask {
        Mask::Drawn { draw, .. } => draw,
        Mask::Revealed => panic!("the field has a mask"),
    }
}

fn how_of(field: &mut Field) -> &mut How {
    match &mut field.mask {
        Mask::Drawn { how, .. } => how,
        Mask::Revealed => panic!("the field has a mask"),
    }
}

fn rules(found: &[(Rule, Place)]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = found.iter().map(|(rule, _)| *rule).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

#[track_caller]
fn assert_only(rule: Rule, found: &[(Rule, Place)]) {
    assert_eq!(rules(found), [rule], "{found:?}");
}

#[test]
fn every_op_is_private() {
    let program = verified(ALL);
    let proof = prove(&program).unwrap_or_else(|breaches| panic!("{breaches:#?}"));
    assert_eq!((proof.truncations, proof.weights), (6, 2));
    assert_eq!(proof.revealed_bits, 16 * 16);
    let messages: usize = program.ids().map(|id| program.messages(id).len()).sum();
    assert_eq!(proof.client.messages + proof.server.messages, messages);
    let bits = |id: ValueId| {
        program
            .messages(id)
            .iter()
            .map(crate::mpc::Message::content_bits)
            .sum::<u64>()
    };
    assert_eq!(
        proof.client.bits + proof.server.bits,
        program.ids().map(bits).sum::<u64>()
    );
}

#[test]
fn every_purpose_but_that_of_weights_is_drawn() {
    let case = Case::new();
    let draws = case.declared.steps.iter().flat_map(|step| step.draws.iter());
    let mut purposes: Vec<Purpose> = draws.map(|draw| draw.id.purpose).collect();
    purposes.sort_unstable();
    purposes.dedup();
    let mut all = Purpose::ALL.to_vec();
    all.retain(|purpose| *purpose != Purpose::WeightShare);
    assert_eq!(purposes, all);
}

#[test]
fn an_undeclared_field_is_a_breach() {
    let found = Case::broken(|declared| {
        declared.steps[RELU].fields.pop();
    });
    assert!(rules(&found).contains(&Rule::Declared), "{found:?}");
    let found = Case::broken(change(RELU, 0, |field| field.section = Section::fields(1, 1)));
    assert!(rules(&found).contains(&Rule::Declared), "{found:?}");
    let twice = Case::broken(|declared| {
        let draw = declared.steps[INPUT].draws.0[0];
        declared.steps[INPUT].draws.push(draw.id, draw.count, Unit::Word);
    });
    assert_only(Rule::Declared, &twice);
}

#[test]
fn a_mask_that_its_receiver_has_is_a_breach() {
    // The server's comparison bits under the client's masks.
    let at = field_of(RELU, gate(1, Content::ServerCompared(0)));
    let found = Case::broken(change(RELU, at, |field| {
        draw_of(field).purpose = Purpose::ComparisonMaskClient;
    }));
    assert!(rules(&found).contains(&Rule::Masked), "{found:?}");
}

#[test]
fn a_narrow_mask_is_a_breach() {
    let narrow = |step: usize, purpose: Purpose, unit: Unit| {
        Case::broken(|declared| {
            let mut draws = declared.steps[step].draws.0.iter_mut();
            let draw = draws.find(|draw| draw.id.purpose == purpose);
            draw.expect("the step draws it").unit = unit;
        })
    };
    assert_only(Rule::Width, &narrow(INPUT, Purpose::InputMask, Unit::Half));
    // r1 of 16 bits.
    assert_only(
        Rule::Width,
        &narrow(TRUNCATE, Purpose::TruncationMask, Unit::Half),
    );
    assert_only(Rule::Width, &narrow(SUMS, Purpose::TruncationMask, Unit::Half));
    assert_only(Rule::Width, &narrow(RELU, Purpose::TableShare, Unit::Planes(43)));
    let p = narrow(TRUNCATE, Purpose::Rerandomise, Unit::Half);
    assert_eq!(rules(&p), [Rule::Width, Rule::Coin]);
}

#[test]
fn a_mask_for_fewer_values_than_the_field_has_is_a_breach() {
    let found = Case::broken(|declared| declared.steps[INPUT].draws.0[0].count = 15);
    assert_only(Rule::Width, &found);
}

#[test]
fn one_mask_for_two_fields_is_a_breach() {
    // One mu_S for both signs of a pair, and one mu_C.
    for (stage, signs) in [
        (Stage::M3, [Content::ServerSign(0), Content::ServerSign(1)]),
        (Stage::M2, [Content::ClientSign(0), Content::ClientSign(1)]),
    ] {
        let case = Case::new();
        let fields = &case.declared.steps[CLIP].fields;
        let pair = fields.iter().find_map(|field| match field.id {
            FieldId::Gate { group, content } if content == signs[1] => Some(group),
            _ => None,
        });
        let group = pair.expect("a clip of two signs");
        let at = field_of(CLIP, gate(group, signs[1]));
        let found = Case::broken(change(CLIP, at, |field| draw_of(field).item = 0));
        assert!(rules(&found).contains(&Rule::Fresh), "{stage:?} {found:?}");
    }
}

#[test]
fn stretches_that_overlap_are_a_breach() {
    let found = Case::broken(|declared| {
        let draws = declared.steps[RELU].draws.0.iter_mut();
        let fresh = draws.filter(|draw| draw.id.purpose == Purpose::FreshMask);
        fresh.for_each(|draw| draw.start = 0);
    });
    assert_only(Rule::Fresh, &found);
}

#[test]
fn channels_under_one_part_of_p_are_a_breach() {
    let at = field_of(TRUNCATE, FieldId::TopBits(15));
    let found = Case::broken(change(TRUNCATE, at, |field| {
        if let Mask::Drawn { values, .. } = &mut field.mask {
            // Those of another channel.
            values.clear();
            values.push(0..16);
        }
    }));
    assert_only(Rule::Fresh, &found);
}

#[test]
fn a_payload_that_contains_its_mask_is_a_breach() {
    let at = field_of(RELU, gate(1, Content::Opened(0)));
    let found = Case::broken(change(RELU, at, |field| {
        let mask = *draw_of(field);
        field.payload.push(Atom::Draw(mask));
    }));
    assert_only(Rule::Order, &found);
    assert!(
        found
            .iter()
            .any(|(_, place)| { matches!(place, Place::Field(step, Stage::M1, _) if step.index() == RELU) })
    );
}

#[test]
fn a_payload_that_contains_a_later_mask_is_a_breach() {
    // The mask of a sign in the bits whose answer the sign is made of.
    let at = field_of(RELU, gate(1, Content::ServerCompared(0)));
    let found = Case::broken(change(RELU, at, |field| {
        let sign = DrawId {
            purpose: Purpose::SignMaskServer,
            ..*draw_of(field)
        };
        field.payload.push(Atom::Draw(sign));
    }));
    assert_only(Rule::Order, &found);
}

/// A change of one field of a gate.
type Change = (Content, Box<dyn FnOnce(&mut Field)>);

/// Rows and keys of a garbling count as one field under both of their masks, and as nothing else.
#[test]
fn a_garbling_is_held_to_its_lemma() {
    let case = Case::new();
    // The group whose signs are both of pixels.
    let fields = &case.declared.steps[AT_ONCE].fields;
    let group = fields.iter().find_map(|field| match field.id {
        FieldId::Gate {
            group,
            content: Content::Garbled(1),
        } => Some(group),
        _ => None,
    });
    let group = group.expect("a clip of two signs");
    let drawn = |purpose: Purpose, item: usize| Atom::Draw(DrawId { purpose, group, item });
    let add = |content: Content, atom: Atom| -> Change {
        (content, Box::new(move |field| field.payload.push(atom)))
    };
    let how =
        |content: Content, how: How| -> Change { (content, Box::new(move |field| *how_of(field) = how)) };
    let mask = |content: Content, purpose: Purpose, item: usize| -> Change {
        let change = move |field: &mut Field| {
            draw_of(field).purpose = purpose;
            draw_of(field).item = item;
        };
        (content, Box::new(change))
    };
    use Purpose::{BetaShare, GarbleLabel, GarblePad, MaskTopShare};
    let (rows, keys) = (Content::Garbled, Content::Keys);
    let changes = [
        // Beta contains labels: the rows would tell its share.
        vec![add(rows(0), drawn(BetaShare, 0))],
        vec![add(keys(0), drawn(BetaShare, 0))],
        // Cycles through a third field, and through another garbling.
        vec![
            add(keys(0), drawn(MaskTopShare, 0)),
            add(Content::MaskTop, drawn(GarblePad, 0)),
        ],
        vec![
            add(rows(0), drawn(MaskTopShare, 0)),
            add(Content::MaskTop, drawn(GarbleLabel, 0)),
        ],
        vec![
            add(keys(0), drawn(GarbleLabel, 1)),
            add(rows(1), drawn(GarblePad, 0)),
        ],
        vec![
            add(rows(0), drawn(GarblePad, 1)),
            add(keys(1), drawn(GarbleLabel, 0)),
        ],
        // Their own masks.
        vec![add(rows(0), drawn(GarblePad, 0))],
        vec![add(keys(0), drawn(GarbleLabel, 0))],
        // Other masks, or others than the lemma's.
        vec![how(keys(0), How::Xor)],
        vec![how(rows(0), How::Xor)],
        vec![how(Content::ClientSign(0), How::Garbled)],
        vec![mask(keys(0), GarbleLabel, 1), mask(keys(1), GarbleLabel, 0)],
        vec![mask(keys(0), GarblePad, 0), mask(rows(0), GarbleLabel, 0)],
    ];
    for (number, changes) in changes.into_iter().enumerate() {
        let found = Case::broken(|declared| {
            for (content, change) in changes {
                let mut fields = declared.steps[AT_ONCE].fields.iter_mut();
                let field = fields.find(|field| field.id == gate(group, content));
                change(field.expect("the clip has this field"));
            }
        });
        let is_held = |(rule, _): &(Rule, Place)| matches!(rule, Rule::Order | Rule::Masked | Rule::Width);
        assert!(found.iter().any(is_held), "{number}: {found:?}");
    }
}

#[test]
fn a_message_of_what_its_sender_lacks_is_a_breach() {
    let at = field_of(RELU, gate(1, Content::Opened(0)));
    let unknown = [
        Atom::Image,
        Atom::Constant(ConstId(99)),
        Atom::Draw(DrawId::only(Purpose::FreshMask)),
        Atom::Field(gate(1, Content::ClientTop)),
        Atom::Operand(1),
    ];
    for atom in unknown {
        let found = Case::broken(change(RELU, at, |field| field.payload.push(atom)));
        assert!(rules(&found).contains(&Rule::Knowledge), "{atom}: {found:?}");
    }
    let found = Case::broken(|declared| {
        let p = Atom::Draw(DrawId::only(Purpose::Rerandomise));
        declared.steps[TRUNCATE].state.client.push(p);
    });
    assert_only(Rule::Knowledge, &found);
}

#[test]
fn low_bits_of_p_in_a_message_are_a_breach() {
    let at = field_of(TRUNCATE, FieldId::TopBits(15));
    let found = Case::broken(change(TRUNCATE, at, |field| *how_of(field) = How::Minus));
    assert_only(Rule::Coin, &found);
}

#[test]
fn a_truncation_without_p_is_a_breach() {
    for step in [TRUNCATE, SUMS] {
        let found = Case::broken(|declared| {
            let p = Atom::Draw(DrawId::only(Purpose::Rerandomise));
            declared.steps[step].state.helper.retain(|atom| *atom != p);
        });
        assert_only(Rule::Coin, &found);
    }
}

#[test]
fn a_client_that_keeps_its_share_is_a_breach() {
    let found = Case::broken(|declared| declared.steps[SUMS].state.client.push(Atom::Operand(0)));
    assert_only(Rule::Coin, &found);
    let found = Case::broken(change(TRUNCATE, 0, |field| field.section.bits = 16));
    assert_eq!(rules(&found), [Rule::Declared, Rule::Coin]);
}

#[test]
fn an_offline_message_of_the_image_is_a_breach() {
    // The client sends its share of what it has the image of.
    let found = Case::broken(|declared| {
        declared.steps[INPUT].state.client.push(Atom::Image);
    });
    assert!(rules(&found).contains(&Rule::Phase), "{found:?}");
    let at = field_of(REQUANT, gate(0, Content::RequantShare));
    let found = Case::broken(change(REQUANT, at, |field| {
        field.payload.push(Atom::Field(gate(0, Content::RequantBit)));
    }));
    assert!(rules(&found).contains(&Rule::Phase), "{found:?}");
}

#[test]
fn a_helper_that_holds_something_of_the_image_is_a_breach() {
    let found = Case::broken(|declared| declared.steps[INPUT].state.helper.push(Atom::Image));
    assert!(rules(&found).contains(&Rule::Helper), "{found:?}");
}

#[test]
fn a_share_that_leaves_without_a_truncation_is_a_breach() {
    // The value of a gate, but not its operand, is an accumulator.
    let mut case = Case::new();
    let mut program = case.program.into_inner();
    program.steps[RELU].args[0] = ValueId(1);
    case.program = Verified::vouch(program);
    let found = check(&case.program, &case.declared).expect_err("it leaks");
    assert!(found.iter().all(|breach| breach.rule == Rule::Share), "{found:?}");
    assert!(
        found
            .iter()
            .any(|breach| matches!(breach.place, Place::Field(..)))
    );
    assert!(found.iter().any(|breach| matches!(breach.place, Place::Step(_))));
}

#[test]
fn a_weight_of_two_convolutions_is_a_breach() {
    let found = Case::broken(|declared| {
        declared.steps[LIFT].state.server.push(Atom::Constant(ConstId(0)));
    });
    assert_eq!(found, [(Rule::Weight, Place::Step(ValueId(LIFT as u32)))]);
}

#[test]
fn a_weight_under_a_narrow_or_missing_share_is_a_breach() {
    let found = Case::broken(|declared| declared.weights[0].1.0[0].unit = Unit::Half);
    assert_eq!(found, [(Rule::Weight, Place::Constant(ConstId(0)))]);
    let found = Case::broken(|declared| declared.weights.clear());
    assert_only(Rule::Weight, &found);
}

#[test]
fn a_revelation_of_anything_else_is_a_breach() {
    let field = |field: &mut Field| field.section.bits = 32;
    let found = Case::broken(change(REVEAL, 0, field));
    assert_eq!(rules(&found), [Rule::Declared, Rule::Revelation]);
    // An accumulator.
    let mut case = Case::new();
    let mut program = case.program.into_inner();
    program.steps[REVEAL].args[0] = ValueId(18);
    case.program = Verified::vouch(program);
    let found = check(&case.program, &case.declared).expect_err("it leaks");
    assert!(
        found.iter().any(|breach| breach.rule == Rule::Revelation),
        "{found:?}"
    );
    assert!(found.iter().any(|breach| breach.rule == Rule::Share), "{found:?}");
    // A second value, and none.
    let at = field_of(RELU, gate(1, Content::ServerTop));
    let found = Case::broken(change(RELU, at, |field| field.mask = Mask::Revealed));
    assert_only(Rule::Revelation, &found);
    let found = Case::broken(|declared| declared.steps[REVEAL].fields.clear());
    assert!(rules(&found).contains(&Rule::Revelation), "{found:?}");
}

#[test]
fn every_field_needs_the_mask_that_it_has() {
    // Every mask is left out of the list of draws once: each field that it masks is then found.
    let case = Case::new();
    for (step, declared) in case.declared.steps.iter().enumerate() {
        for at in 0..declared.draws.len() {
            let found = Case::broken(|declared| {
                declared.steps[step].draws.0.remove(at);
            });
            assert!(
                found
                    .iter()
                    .all(|(rule, _)| { matches!(rule, Rule::Declared | Rule::Knowledge | Rule::Coin) }),
                "{found:?}"
            );
        }
    }
}

#[test]
fn a_revealed_activation_is_private() {
    let program = verified("%0 = input {shape=[1, 2, 2]}\n%1 = reveal %0");
    let proof = prove(&program).unwrap_or_else(|breaches| panic!("{breaches:#?}"));
    assert_eq!(
        (proof.client.bits, proof.revealed_bits),
        (4 * u64::from(WIDE), 4 * u64::from(WIDE))
    );
}

#[test]
fn the_report_names_every_message_and_mask() {
    let program = verified(ALL);
    let report = Report::of(&program);
    assert!(report.proved && report.breaches.is_empty());
    let messages: usize = program.ids().map(|id| program.messages(id).len()).sum();
    assert_eq!(report.messages.len(), messages);
    let masks = report.messages.iter().flat_map(|message| &message.fields);
    assert_eq!(masks.filter(|field| field.mask.is_none()).count(), 1);
    let text = report.to_string();
    assert!(text.contains("%2 truncate"), "{text}");
    assert!(
        text.contains("above 16 bits of minus 32 bits of k_sh, Rerandomise 0.0"),
        "{text}"
    );
    assert!(text.contains("to the helper: nothing"), "{text}");
    let json = serde_json::to_value(&report).expect("a report is data");
    assert_eq!(json["proved"], true);
    assert_eq!(json["messages"][0]["fields"][0]["mask"]["key"], "client_helper");
}

/// 100 layers of 2048 channels in three groups, and 300 of one channel. Prints what verifying and proving
/// them take.
#[test]
fn a_large_program_is_proved() {
    let mut body = String::from("const c0 : multiplier[2048]\n%0 = input {shape=[2048, 4, 4]}\n");
    for layer in 0..100 {
        let at = 3 * layer;
        let _ = writeln!(
            body,
            "%{} = lift %{at} {{multiplier=c0}}
             %{} = truncate %{} {{keep=[16*2048]}}
             %{} = block_relu %{} {{patches=[1x1*1024, 2x2*512, 0x1*512]}}",
            at + 1,
            at + 2,
            at + 1,
            at + 3,
            at + 2
        );
    }
    body.push_str("%301 = reveal %300\n");
    for body in [body, chain(300, 8)] {
        let program = verified(&body);
        let begin = Instant::now();
        assert!(program.public().verify().is_ok());
        let verified_in = begin.elapsed();
        let begin = Instant::now();
        let proof = prove(&program).unwrap_or_else(|breaches| panic!("{breaches:#?}"));
        let proved_in = begin.elapsed();
        println!(
            "{} steps, {} draws: verified in {verified_in:?}, proved in {proved_in:?}",
            proof.steps, proof.draws
        );
        assert_eq!(proof.steps, program.steps.len());
    }
}
