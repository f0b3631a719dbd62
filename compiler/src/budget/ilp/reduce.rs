//! A program made small before a solver sees it.
//!
//! Tied groups become one block; caps that can't bind go; options that use no less of anything and
//! lose no less than another of their block go. (Ties come first: an item that is dominated in one
//! group may be the best for a whole layer.)

use super::IlpError;
use super::program::{Cap, Program};

/// The reduced program: one option per block, the uses of every row within its limit.
pub(super) struct Reduced {
    pub(super) rows: Vec<Row>,
    pub(super) blocks: Vec<Block>,
}

/// A cap that may bind.
pub(super) struct Row {
    /// The cap's index in the program.
    pub(super) cap: usize,
    /// What it leaves above the least possible use.
    pub(super) limit: u64,
}

/// Groups that choose together.
pub(super) struct Block {
    pub(super) groups: Vec<usize>,
    /// The rows that they use.
    pub(super) rows: Vec<usize>,
    pub(super) options: Vec<Choice>,
}

/// An item for all groups of a block.
#[derive(Clone)]
pub(super) struct Choice {
    pub(super) item: usize,
    pub(super) loss: f64,
    /// What it uses of each of the block's rows above the least that the block can use.
    pub(super) uses: Vec<u64>,
}

impl Reduced {
    /// Reduces a program, unless one of its caps can't be met even by itself.
    pub(super) fn of(program: &Program) -> Result<Reduced, IlpError> {
        let members: Vec<Vec<bool>> = program.caps().iter().map(|cap| members(program, cap)).collect();
        let mut blocks: Vec<Block> = blocks(program)
            .into_iter()
            .map(|groups| block(program, &members, groups))
            .collect();
        let mut limits: Vec<u64> = program.caps().iter().map(|cap| cap.limit).collect();
        shift(&mut blocks, &mut limits)?;
        let rows = binding(&blocks, &limits);
        for block in &mut blocks {
            keep_rows(block, &rows);
            undominated(&mut block.options);
        }
        let rows = rows.into_iter().map(|cap| Row {
            cap,
            limit: limits[cap],
        });
        Ok(Reduced {
            rows: rows.collect(),
            blocks,
        })
    }

    /// The number of options in blocks that have a choice.
    pub(super) fn open_options(&self) -> usize {
        self.open().map(|block| block.options.len()).sum()
    }

    /// The blocks that have a choice.
    pub(super) fn open(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().filter(|block| block.options.len() > 1)
    }

    /// What one option per block uses of every row.
    pub(super) fn uses(&self, choice: &[usize]) -> Vec<u64> {
        let mut uses = vec![0; self.rows.len()];
        for (block, &option) in self.blocks.iter().zip(choice) {
            block.add_uses(option, &mut uses);
        }
        uses
    }

    /// Whether one option per block keeps every limit.
    pub(super) fn feasible(&self, choice: &[usize]) -> bool {
        let uses = self.uses(choice);
        uses.iter().zip(&self.rows).all(|(&used, row)| used <= row.limit)
    }

    /// What one option per block loses.
    pub(super) fn loss(&self, choice: &[usize]) -> f64 {
        let chosen = self.blocks.iter().zip(choice);
        chosen.map(|(block, &option)| block.options[option].loss).sum()
    }

    /// The items of the program's groups.
    pub(super) fn items(&self, choice: &[usize], groups: usize) -> Vec<usize> {
        let mut items = vec![0; groups];
        for (block, &option) in self.blocks.iter().zip(choice) {
            for &group in &block.groups {
                items[group] = block.options[option].item;
            }
        }
        items
    }
}

impl Block {
    /// Moves the uses of one option to those of another.
    pub(super) fn change_uses(&self, from: usize, to: usize, uses: &mut [u64]) {
        let options = self.options[from].uses.iter().zip(&self.options[to].uses);
        for (&row, (from, to)) in self.rows.iter().zip(options) {
            uses[row] = uses[row] - from + to;
        }
    }

    fn add_uses(&self, option: usize, uses: &mut [u64]) {
        for (&row, used) in self.rows.iter().zip(&self.options[option].uses) {
            uses[row] += used;
        }
    }
}

fn members(program: &Program, cap: &Cap) -> Vec<bool> {
    let Some(groups) = &cap.groups else {
        return vec![true; program.groups()];
    };
    let mut members = vec![false; program.groups()];
    groups.iter().for_each(|&group| members[group] = true);
    members
}

/// The groups that are tied, directly or through others, each set in order of its first group.
fn blocks(program: &Program) -> Vec<Vec<usize>> {
    let mut parent: Vec<usize> = (0..program.groups()).collect();
    for pair in program.ties().iter().flat_map(|tie| tie.windows(2)) {
        let a = root(&mut parent, pair[0]);
        let b = root(&mut parent, pair[1]);
        parent[a.max(b)] = a.min(b);
    }
    let mut blocks = vec![Vec::new(); program.groups()];
    for group in 0..program.groups() {
        blocks[root(&mut parent, group)].push(group);
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

fn root(parent: &mut [usize], mut group: usize) -> usize {
    while parent[group] != group {
        parent[group] = parent[parent[group]];
        group = parent[group];
    }
    group
}

fn block(program: &Program, members: &[Vec<bool>], groups: Vec<usize>) -> Block {
    let rows: Vec<usize> = (0..members.len())
        .filter(|&cap| groups.iter().any(|&group| members[cap][group]))
        .collect();
    let mut options = Vec::new();
    for item in 0..program.items(groups[0]) {
        let mut uses = Vec::with_capacity(rows.len());
        for &cap in &rows {
            let resource = program.caps()[cap].resource;
            let inside = groups.iter().filter(|&&group| members[cap][group]);
            uses.push(inside.map(|&group| program.cost(group, item, resource)).sum());
        }
        options.push(Choice {
            item,
            loss: groups.iter().map(|&group| program.loss(group, item)).sum(),
            uses,
        });
    }
    Block {
        groups,
        rows,
        options,
    }
}

/// Takes the least use of every block from its options and from the limits.
fn shift(blocks: &mut [Block], limits: &mut [u64]) -> Result<(), IlpError> {
    let mut least = vec![0; limits.len()];
    for block in blocks {
        for (place, &cap) in block.rows.iter().enumerate() {
            let low = block
                .options
                .iter()
                .map(|option| option.uses[place])
                .min()
                .unwrap_or(0);
            block
                .options
                .iter_mut()
                .for_each(|option| option.uses[place] -= low);
            least[cap] += low;
        }
    }
    for (cap, (limit, least)) in limits.iter_mut().zip(least).enumerate() {
        let infeasible = IlpError::Cap {
            cap,
            limit: *limit,
            least,
        };
        *limit = limit.checked_sub(least).ok_or(infeasible)?;
    }
    Ok(())
}

/// The caps that some choice exceeds.
fn binding(blocks: &[Block], limits: &[u64]) -> Vec<usize> {
    let mut most = vec![0; limits.len()];
    for block in blocks {
        for (place, &cap) in block.rows.iter().enumerate() {
            most[cap] += block
                .options
                .iter()
                .map(|option| option.uses[place])
                .max()
                .unwrap_or(0);
        }
    }
    (0..limits.len()).filter(|&cap| most[cap] > limits[cap]).collect()
}

/// Renumbers the rows of a block by their place in `rows`, and forgets the others.
fn keep_rows(block: &mut Block, rows: &[usize]) {
    let kept: Vec<(usize, usize)> = block
        .rows
        .iter()
        .enumerate()
        .filter_map(|(place, cap)| rows.binary_search(cap).ok().map(|row| (place, row)))
        .collect();
    for option in &mut block.options {
        option.uses = kept.iter().map(|&(place, _)| option.uses[place]).collect();
    }
    block.rows = kept.into_iter().map(|(_, row)| row).collect();
}

/// Removes options that another one is at least as good as in everything; of equals, the first stays.
fn undominated(options: &mut Vec<Choice>) {
    options.sort_by(|a, b| {
        let order = a.loss.total_cmp(&b.loss);
        order.then_with(|| a.uses.cmp(&b.uses)).then(a.item.cmp(&b.item))
    });
    let mut kept: Vec<Choice> = Vec::new();
    for option in options.drain(..) {
        if !kept
            .iter()
            .any(|other| other.uses.iter().zip(&option.uses).all(|(a, b)| a <= b))
        {
            kept.push(option);
        }
    }
    *options = kept;
}
