//! Which gates take their signs in one round: those where that makes a program quicker over a link.
//!
//! A gate in one round sends about twice the bytes and is waited for half as long. But not every gate is
//! waited for: of branches side by side only the longest is. So this is a project whose tasks can be
//! shortened at a price (J. E. Kelley, "Critical-Path Planning and Scheduling", Operations Research 9, 1961):
//!
//! ```text
//! minimise  sum of price(g) x(g)  +  round trip * T
//! over      out(g) - in(g) + x(g) >= 2     for each gate with signs, 0 <= x <= 1
//!           in(v) >= out(u)                where v works on what comes of u
//!           T >= out(v)
//! ```
//!
//! Each row has at most one variable that tells starts from ends, so that the matrix is that of a network
//! and corners are whole numbers: the linear program decides.

use std::collections::BTreeSet;

use good_lp::{Expression, ProblemVariables, Solution, SolverModel, Variable, variable};
use trefoil_ir::Verified;
use trefoil_ir::mpc::cost::Cost;
use trefoil_ir::mpc::gate::{Rounds, in_rounds};
use trefoil_ir::mpc::message::HEADER_BYTES;
use trefoil_ir::mpc::time::{LinkModel, Machine, Seconds};
use trefoil_ir::mpc::{Phase, Program, ValueId};

use super::goal::Goal;
use super::ilp::engine;
use super::price::Currency;
use super::rules::LayerCap;

/// The link for which gates are chosen where no other is named: that of the first budget in seconds. Where any
/// budget or cap is in bytes gates are done in two rounds, which take the fewest.
pub fn link_of(goals: &[Goal], caps: &[LayerCap]) -> Option<LinkModel> {
    let caps = caps.iter().map(|cap| &cap.goal);
    if goals.iter().chain(caps).any(Goal::counts_bytes) {
        return None;
    }
    goals.iter().find_map(|goal| match goal {
        Goal::Seconds(_, link) => Some(*link),
        Goal::Share(_) | Goal::Relus(_) | Goal::Bytes(_) | Goal::OnlineBytes(_) => None,
    })
}

/// The program with those gates in one round that make it quicker over this link, as predicted; the program
/// itself if none does.
pub fn shorten(program: &Verified<Program>, link: &LinkModel) -> Verified<Program> {
    let seconds = |program: &Program| Seconds::predict(&Cost::new(program), link).total;
    let all: BTreeSet<ValueId> = program.ids().filter(|&id| takes_signs(program, id)).collect();
    let mut best: Option<(f64, Verified<Program>)> = None;
    for quick in [chosen(program, link), Some(all)].into_iter().flatten() {
        let other = in_one_round(program, |id| quick.contains(&id));
        let took = seconds(&other);
        if took
            < best
                .as_ref()
                .map_or_else(|| seconds(program), |(least, _)| *least)
        {
            best = Some((took, other));
        }
    }
    best.map_or_else(|| program.clone(), |(_, program)| program)
}

/// The program with some of its gates in one round, and all others in two.
pub fn in_one_round(program: &Verified<Program>, is_quick: impl Fn(ValueId) -> bool) -> Verified<Program> {
    let mut changed = (**program).clone();
    for id in program.ids() {
        let rounds = if is_quick(id) { Rounds::One } else { Rounds::Two };
        changed.steps[id.index()].op.set_rounds(rounds);
    }
    let verified = changed.verify();
    verified.unwrap_or_else(|faults| {
        panic!("in how many rounds a gate is done is no matter of soundness: {faults:?}")
    })
}

/// Whether a step is a gate that takes signs.
fn takes_signs(program: &Program, id: ValueId) -> bool {
    let groups = program.step(id).op.gate_groups(&program.operands(id));
    groups.is_some_and(|groups| groups.iter().any(|group| group.form.has_signs()))
}

/// What one round takes longer than two by itself, in seconds: its bytes and their work, less two messages.
fn price(program: &Program, id: ValueId, link: &LinkModel) -> f64 {
    let groups = program
        .step(id)
        .op
        .gate_groups(&program.operands(id))
        .unwrap_or_default();
    let own = Currency::Picoseconds(*link);
    let [one, two] =
        [Rounds::One, Rounds::Two].map(|rounds| own.of_groups(&in_rounds(rounds, groups.clone())) as f64);
    let message = link.transfer(HEADER_BYTES as u64) + Machine::of(Phase::Online).message;
    (one - two) * 1e-12 - 2.0 * message
}

/// The steps that messages are sent of, with what is waited for in front of each.
struct Chain {
    id: ValueId,
    rounds: f64,
    price: Option<f64>,
    behind: Vec<usize>,
}

fn chains(program: &Program, link: &LinkModel) -> (Vec<Chain>, Vec<usize>) {
    let cost = Cost::new(program);
    let mut chains: Vec<Chain> = Vec::new();
    // By step the chains whose ends it waits for; most steps send nothing, and pass their operands' on.
    let mut awaited: Vec<BTreeSet<usize>> = Vec::with_capacity(program.steps.len());
    let mut users: Vec<usize> = Vec::new();
    for id in program.ids() {
        let step = program.step(id);
        let mut own = BTreeSet::new();
        for arg in &step.args {
            own.extend(&awaited[arg.index()]);
        }
        let messages = &cost.steps[id.index()].messages;
        let online = messages
            .iter()
            .filter(|(_, phase, _)| *phase == Phase::Online)
            .count();
        if online > 0 && !step.args.is_empty() {
            let signs = takes_signs(program, id);
            own.iter().for_each(|&chain: &usize| users[chain] += 1);
            chains.push(Chain {
                id,
                rounds: if signs { 2.0 } else { 1.0 },
                price: signs.then(|| price(program, id, link)),
                behind: own.into_iter().collect(),
            });
            users.push(0);
            own = BTreeSet::from([chains.len() - 1]);
        }
        awaited.push(own);
    }
    let last = (0..chains.len()).filter(|&chain| users[chain] == 0);
    let last = last.collect();
    (chains, last)
}

/// The gates that are best done in one round; none if the solver gives up.
fn chosen(program: &Program, link: &LinkModel) -> Option<BTreeSet<ValueId>> {
    let (chains, last) = chains(program, link);
    let mut variables = ProblemVariables::new();
    let times: Vec<[Variable; 2]> = chains
        .iter()
        .map(|_| [0, 1].map(|_| variables.add(variable().min(0))))
        .collect();
    let quick: Vec<Option<Variable>> = chains
        .iter()
        .map(|chain| chain.price.map(|_| variables.add(variable().min(0).max(1))))
        .collect();
    let end = variables.add(variable().min(0));
    let mut objective = Expression::from(end) * link.round_trip;
    for (chain, quick) in chains.iter().zip(&quick) {
        if let (Some(price), Some(quick)) = (chain.price, quick) {
            objective += price * *quick;
        }
    }
    let mut model = variables.minimise(objective).using(engine);
    for ((chain, [begin, done]), quick) in chains.iter().zip(&times).zip(&quick) {
        let saved = quick.map_or_else(Expression::default, Expression::from);
        model.add_constraint((*done - *begin + saved).geq(chain.rounds));
        for &before in &chain.behind {
            model.add_constraint((*begin - times[before][1]).geq(0));
        }
    }
    for chain in last {
        model.add_constraint((end - times[chain][1]).geq(0));
    }
    let solution = model.solve().ok()?;
    let pairs = chains.iter().zip(&quick);
    let chosen = pairs.filter(|(_, quick)| quick.is_some_and(|quick| solution.value(quick) > 0.5));
    Some(chosen.map(|(chain, _)| chain.id).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trefoil_ir::text::TensorStore;

    use super::*;

    fn program(text: &str) -> Verified<Program> {
        let parsed = Program::parse_verified(text, &TensorStore::new());
        parsed.unwrap_or_else(|faults| panic!("{faults}")).0
    }

    /// A residual network: a long and a short branch side by side, of maps of these heights.
    fn branches([first, long, short]: [usize; 3]) -> Verified<Program> {
        let head = format!(
            "program \"branches\" {{
  const c0 : multiplier[1]
  const c1 : multiplier[1]
  const c2 : multiplier[1]
  const c3 : multiplier[1]
  const c4 : multiplier[1]
  %0 = input {{shape=[1, {first}, 64]}} @\"x\"
  %1 = lift %0 {{multiplier=c0}} @\"a\"
  %2 = truncate %1 {{keep=[15]}} @\"a\"
  %3 = block_relu %2 {{patches=[1x1]}} @\"a\"
  %4 = gather %3 {{axis=h, index=[0*{long}]}} @\"long\"
  %5 = lift %4 {{multiplier=c1}} @\"long\"
  %6 = truncate %5 {{keep=[15]}} @\"long\"
  %7 = block_relu %6 {{patches=[1x1]}} @\"long\"
  %8 = lift %7 {{multiplier=c2}} @\"longer\"
  %9 = truncate %8 {{keep=[15]}} @\"longer\"
  %10 = block_relu %9 {{patches=[1x1]}} @\"longer\"
  %11 = gather %10 {{axis=h, index=[0]}} @\"longer\"
  %12 = gather %3 {{axis=h, index=[0*{short}]}} @\"short\"
  %13 = lift %12 {{multiplier=c3}} @\"short\"
  %14 = truncate %13 {{keep=[15]}} @\"short\"
  %15 = block_relu %14 {{patches=[1x1]}} @\"short\"
  %16 = gather %15 {{axis=h, index=[0]}} @\"short\"
  %17 = max %11, %16 {{non_negative=true}} @\"max\"
  %18 = lift %17 {{multiplier=c4}} @\"out\"
  %19 = truncate %18 {{keep=[16]}} @\"out\"
  %20 = reveal %19 @\"out\"
}}
"
        );
        program(&head)
    }

    fn quick(program: &Program) -> Vec<&str> {
        let ids = program.ids();
        let of_two = ids.filter(|&id| {
            let groups = program.step(id).op.gate_groups(&program.operands(id));
            groups.is_some_and(|groups| groups.iter().any(|group| group.rounds == Rounds::One))
        });
        of_two.map(|id| program.step(id).origin.as_str()).collect()
    }

    #[test]
    fn only_what_is_waited_for_is_shortened() {
        let wan = shorten(&branches([8, 8, 8]), &LinkModel::WAN);
        assert_eq!(quick(&wan), ["a", "long", "longer", "max"]);
        let cost = Cost::new(&wan);
        assert_eq!(cost.round_trips, 5);
    }

    #[test]
    fn large_gates_keep_their_two_rounds() {
        let wan = shorten(&branches([40_000, 8, 8]), &LinkModel::WAN);
        assert_eq!(quick(&wan), ["long", "longer", "max"]);
    }

    #[test]
    fn a_machine_that_waits_for_nothing_changes_little() {
        let before = branches([4096, 4096, 4096]);
        let after = shorten(&before, &LinkModel::IDEAL);
        let seconds = |program: &Program| Seconds::predict(&Cost::new(program), &LinkModel::IDEAL).total;
        assert!(seconds(&after) <= seconds(&before));
        assert!(!quick(&after).contains(&"a"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Among all ways to do the gates none is predicted to be quicker, but for what the offline phase hides.
        #[test]
        fn no_other_choice_is_quicker(
            heights in prop::array::uniform3(prop::sample::select(vec![1_usize, 16, 200, 3000])),
            trip in prop::sample::select(vec![1e-4, 2e-3, 2e-2, 8e-2]),
        ) {
            let link = LinkModel { bits_per_second: 1e8, round_trip: trip };
            let before = branches(heights);
            let gates: Vec<ValueId> = before.ids().filter(|&id| takes_signs(&before, id)).collect();
            let seconds = |program: &Program| Seconds::predict(&Cost::new(program), &link).total;
            let own = seconds(&shorten(&before, &link));
            for set in 0..1_u32 << gates.len() {
                let other = in_one_round(&before, |id| gates.iter().position(|&g| g == id).is_some_and(|at| set >> at & 1 == 1));
                prop_assert!(own <= seconds(&other) * 1.02, "{own} {} {set:b}", seconds(&other));
            }
        }
    }
}
