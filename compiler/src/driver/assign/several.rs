//! Several budgets at once, with caps and ties of layers.
//!
//! Which layers take signs at all is decided budget by budget, as if each were the only one (a knapsack with
//! fixed charges); a layer that any of them would do without does without, if that can be. What is left is a
//! program with side constraints ([`ilp`]), whose certificate speaks of these layers.

use trefoil_ir::Verified;
use trefoil_ir::nn::Graph;

use super::report::layers;
use super::{AssignError, AssignOptions, Assigned, BudgetReport, ROUNDS, Strategy, kept, probe, total};
use crate::budget::ilp::{self, Cap, Program};
use crate::budget::knapsack::Limits;
use crate::budget::menu::{Menu, Offers};
use crate::budget::{Currency, Goal};
use crate::driver::trial::Trial;
use crate::profile::Profile;

/// A currency in which something is limited, with the menu's prices in it.
struct Resource {
    currency: Currency,
    menu: Menu,
}

/// One of the budgets.
struct Budget {
    goal: Goal,
    /// The number of its currency.
    resource: usize,
    limit: u64,
    /// What the network costs besides what the menu prices.
    rest: i64,
}

/// Solves budgets that must all be met.
///
/// # Errors
/// See [`AssignError`].
pub(super) fn assign(
    imported: &Verified<Graph>,
    profile: &Profile,
    options: &AssignOptions,
    before: &Trial,
) -> Result<Assigned, AssignError> {
    if options.strategy != Strategy::Additive {
        return Err(AssignError::Strategy);
    }
    let (resources, mut budgets) = state(imported, profile, options, before)?;
    let several = Several {
        imported,
        profile,
        options,
        resources,
    };
    let (choice, certificate, after) = several.run(&mut budgets)?;
    let menu = &several.resources[0].menu;
    let distortions = menu.distortions(&choice);
    let words = |word: &dyn Fn(&Budget) -> String| -> String {
        budgets.iter().map(word).collect::<Vec<String>>().join(", ")
    };
    let shown = |budget: &Budget, trial: &Trial| {
        let currency = &several.resources[budget.resource].currency;
        currency.show(total(currency, trial))
    };
    Ok(Assigned {
        assignment: menu.assignment(&profile.header, &choice),
        report: BudgetReport {
            goal: words(&|budget| budget.goal.to_string()),
            strategy: options.strategy.word(),
            allowed: words(&|budget| several.resources[budget.resource].currency.show(budget.limit)),
            spent: words(&|budget| shown(budget, &after)),
            priced: None,
            at_1x1: words(&|budget| shown(budget, before)),
            distortion: Some(distortions.values().sum()),
            certificate: None,
            side_constraints: Some(certificate),
            joint: None,
            layers: layers(before, &after, |name| {
                Some(distortions.get(name).copied().unwrap_or(0.0))
            }),
        },
    })
}

/// The currencies of all budgets and caps, and the budgets in them.
fn state(
    imported: &Verified<Graph>,
    profile: &Profile,
    options: &AssignOptions,
    before: &Trial,
) -> Result<(Vec<Resource>, Vec<Budget>), AssignError> {
    let two_rounds = options.in_two_rounds(imported)?;
    let mut resources: Vec<Resource> = Vec::new();
    let caps = options.rules.caps.iter().map(|cap| &cap.goal);
    for goal in options.goals.iter().chain(caps) {
        let currency = Currency::of(goal);
        if resources.iter().any(|one| one.currency == currency) {
            continue;
        }
        let tariff = probe::tariff(imported, &profile.header, &currency, options.quick(), &two_rounds)?;
        let offers = Offers {
            clips: options.clips,
            rules: &options.rules,
            together: true,
        };
        let menu = Menu::new(&profile.header, &profile.summary, &currency, offers, &tariff)?;
        resources.push(Resource { currency, menu });
    }
    let budgets = options.goals.iter().map(|goal| {
        let resource = number(&resources, goal);
        let Resource { currency, menu } = &resources[resource];
        let pixels = menu.pixels(&profile.header);
        Budget {
            goal: *goal,
            resource,
            limit: Currency::limit(goal, before.counts.drelus_at_1x1 as u64),
            rest: total(currency, &two_rounds) as i64 - menu.program.cost(&pixels) as i64,
        }
    });
    let budgets = budgets.collect();
    Ok((resources, budgets))
}

/// The number of a goal's currency.
fn number(resources: &[Resource], goal: &Goal) -> usize {
    let currency = Currency::of(goal);
    let place = resources.iter().position(|one| one.currency == currency);
    place.expect("every goal has its currency")
}

struct Several<'a> {
    imported: &'a Verified<Graph>,
    profile: &'a Profile,
    options: &'a AssignOptions,
    resources: Vec<Resource>,
}

/// A choice, what is proved of it, and its program.
type Found = (Vec<usize>, ilp::Certificate, Trial);

impl Several<'_> {
    /// Solves for what the parts may cost, tries what the network then costs, and again, until they agree.
    fn run(&self, budgets: &mut [Budget]) -> Result<Found, AssignError> {
        let mut best: Option<(f64, Found)> = None;
        let mut failure = None;
        for _ in 0..ROUNDS {
            let (choice, certificate, loss) = match self.solve(budgets) {
                Ok(found) => found,
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            };
            let tried = self.lowered(&self.resources[0].menu, &choice)?;
            let (mut is_same, mut is_within) = (true, true);
            for budget in budgets.iter_mut() {
                let Resource { currency, menu } = &self.resources[budget.resource];
                let cost = total(currency, &tried);
                let rest = cost as i64 - menu.program.cost(&choice) as i64;
                is_within &= cost <= budget.limit;
                is_same &= std::mem::replace(&mut budget.rest, rest) == rest;
            }
            if is_within && best.as_ref().is_none_or(|(least, _)| loss < *least) {
                best = Some((loss, (choice, certificate, tried)));
            }
            if is_same {
                break;
            }
        }
        match (best, failure) {
            (Some((_, found)), _) => Ok(found),
            (None, Some(error)) => Err(error),
            (None, None) => Err(self.too_dear(budgets)?.unwrap_or_else(|| {
                let caps = (0..budgets.len()).collect();
                AssignError::Together(ilp::IlpError::Infeasible { caps })
            })),
        }
    }

    fn lowered(&self, menu: &Menu, choice: &[usize]) -> Result<Trial, AssignError> {
        let assignment = menu.assignment(&self.profile.header, choice);
        self.options.trial(self.imported, Some(&assignment))
    }

    /// The first budget that not even its cheapest plan meets.
    fn too_dear(&self, budgets: &[Budget]) -> Result<Option<AssignError>, AssignError> {
        for budget in budgets {
            let Resource { currency, menu } = &self.resources[budget.resource];
            let least = total(currency, &self.lowered(menu, &menu.program.cheapest())?);
            if least > budget.limit {
                return Ok(Some(AssignError::Infeasible {
                    goal: budget.goal,
                    least: currency.show(least),
                    kept: kept(self.options),
                }));
            }
        }
        Ok(None)
    }

    /// The best choice if the rest of the network costs so much, among the first items that leave any.
    fn solve(&self, budgets: &[Budget]) -> Result<(Vec<usize>, ilp::Certificate, f64), AssignError> {
        let limits: Vec<u64> = budgets
            .iter()
            .map(|budget| budget.limit.checked_add_signed(-budget.rest).unwrap_or(0))
            .collect();
        let mut failure = None;
        for allowed in self.candidates(budgets, &limits) {
            let left = budgets.iter().zip(&limits).map(|(budget, limit)| {
                let program = &self.resources[budget.resource].menu.program;
                limit.checked_sub(program.charges(&allowed))
            });
            // What layers cost besides their channels may be too much by itself.
            let Some(left) = left.collect::<Option<Vec<u64>>>() else {
                continue;
            };
            let numbers: Vec<Vec<usize>> = allowed
                .iter()
                .map(|allowed| (0..allowed.len()).filter(|&item| allowed[item]).collect())
                .collect();
            let program = self.program(budgets, &left, &numbers)?;
            match ilp::solve(&program, &ilp::Options::default()) {
                Ok(solution) => {
                    let choice = solution.choice.iter().zip(&numbers);
                    let choice = choice.map(|(&item, numbers)| numbers[item]).collect();
                    return Ok((choice, solution.certificate, solution.loss));
                }
                Err(error) => failure = Some(error),
            }
        }
        let caps = (0..budgets.len()).collect();
        let failure = failure.unwrap_or(ilp::IlpError::Infeasible { caps });
        Err(self.too_dear(budgets)?.unwrap_or(AssignError::Together(failure)))
    }

    /// Items to choose among, by group, in the order in which they are tried: those that all budgets would have, each
    /// by itself; then what one of them would have, or its cheapest choice; then all.
    fn candidates(&self, budgets: &[Budget], limits: &[u64]) -> Vec<Vec<Vec<bool>>> {
        let every: Vec<Vec<bool>> = self.resources[0]
            .menu
            .slots
            .iter()
            .map(|slot| vec![true; slot.picks.len()])
            .collect();
        let (mut alone, mut cheapest) = (Vec::new(), Vec::new());
        for (budget, &limit) in budgets.iter().zip(limits) {
            let program = &self.resources[budget.resource].menu.program;
            // Whether the cheapest is too dear the lowered program says.
            let solved = program.solve(limit, &Limits::default());
            let choice = solved.map_or_else(|_| program.cheapest(), |solution| solution.choice);
            alone.push(self.beside(budget, &choice));
            cheapest.push(self.beside(budget, &program.cheapest()));
        }
        let mut common = every.clone();
        for (common, group) in common.iter_mut().zip(0..) {
            let all = |item: usize| alone.iter().all(|one: &Vec<Vec<bool>>| one[group][item]);
            let both: Vec<bool> = (0..common.len()).map(all).collect();
            if both.contains(&true) {
                *common = both;
            }
        }
        let mut candidates = vec![common];
        candidates.extend(alone);
        candidates.extend(cheapest);
        candidates.push(every);
        candidates.iter_mut().for_each(|allowed| self.tie(allowed));
        candidates.dedup();
        candidates
    }

    /// The items that cost no more besides the channels than those of a choice, in a budget's currency.
    fn beside(&self, budget: &Budget, choice: &[usize]) -> Vec<Vec<bool>> {
        let program = &self.resources[budget.resource].menu.program;
        let (allows, _) = program.states_of(choice);
        let flags = program.flags.iter().zip(allows);
        let allowed = flags.map(|(flags, allows)| flags.iter().map(|flags| flags & !allows == 0).collect());
        allowed.collect()
    }

    /// Tied channels choose among the same.
    fn tie(&self, allowed: &mut [Vec<bool>]) {
        for layer in &self.options.rules.tie {
            let groups = self.resources[0].menu.groups_of(std::slice::from_ref(layer));
            if let Some(&first) = groups.first() {
                let all = |item: usize| groups.iter().all(|&group| allowed[group][item]);
                let common: Vec<bool> = (0..allowed[first].len()).map(all).collect();
                groups
                    .iter()
                    .for_each(|&group| allowed[group].clone_from(&common));
            }
        }
    }

    /// The program of the items that are left.
    fn program(
        &self,
        budgets: &[Budget],
        left: &[u64],
        numbers: &[Vec<usize>],
    ) -> Result<Program, AssignError> {
        let mut program = Program::new(self.resources.len());
        for (group, numbers) in numbers.iter().enumerate() {
            let items = numbers.iter().map(|&item| {
                let priced = self
                    .resources
                    .iter()
                    .map(|one| one.menu.program.problem.group(group)[item]);
                let items: Vec<_> = priced.collect();
                let costs: Vec<u64> = items.iter().map(|item| item.cost).collect();
                (costs, items[0].loss)
            });
            program.push(items)?;
        }
        for (budget, &limit) in budgets.iter().zip(left) {
            program.budget(budget.resource, limit)?;
        }
        for cap in &self.options.rules.caps {
            let resource = number(&self.resources, &cap.goal);
            let menu = &self.resources[resource].menu;
            let groups = menu.groups_of(std::slice::from_ref(&cap.layer));
            let pixels = menu.pixels(&self.profile.header);
            let whole = groups
                .iter()
                .map(|&group| menu.program.problem.group(group)[pixels[group]].cost);
            program.cap(Cap {
                resource,
                limit: Currency::limit(&cap.goal, whole.sum()),
                groups: Some(groups),
            })?;
        }
        for layer in &self.options.rules.tie {
            program.tie(self.resources[0].menu.groups_of(std::slice::from_ref(layer)))?;
        }
        Ok(program)
    }
}
