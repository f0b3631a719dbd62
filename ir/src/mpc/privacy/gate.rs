//! What a gate draws, sends and leaves behind, group by group.

use super::declaration::{Atom, Declaration, Field, FieldId, How, State};
use super::draw::{DrawId, Draws, Unit};
use super::purpose::Purpose;
use crate::mpc::gate::{
    Content, Form, Group, KEY_PLANES, OPENED_BITS, PRODUCTS, Rounds, Sign, garbled_planes, table_planes,
};
use crate::mpc::message::Stage;
use crate::mpc::program::ConstId;

/// What a gate works on.
#[derive(Clone, Debug, Default)]
pub struct GateOperands {
    /// Operands that the value of a pixel is made of.
    pixels: Vec<Atom>,
    /// Operands that the sum over a patch is made of.
    patches: Vec<Atom>,
    /// Operands that are added to the result.
    added: Vec<Atom>,
    /// Limits of a clip, which client and server know.
    levels: Vec<Atom>,
}

impl GateOperands {
    /// A value, with sums over its patches in a second operand if `count` is two, and the limits that a
    /// clip refers to.
    pub fn value(count: usize, levels: Vec<ConstId>) -> Self {
        Self {
            pixels: vec![Atom::Operand(0)],
            patches: (0..count).map(Atom::Operand).collect(),
            added: Vec::new(),
            levels: levels.into_iter().map(Atom::Constant).collect(),
        }
    }

    /// The difference of two activations, to whose ReLU the second is added.
    pub fn difference() -> Self {
        Self {
            pixels: vec![Atom::Operand(0), Atom::Operand(1)],
            added: vec![Atom::Operand(1)],
            ..Self::default()
        }
    }
}

pub(super) fn declare(groups: &[Group], operands: &GateOperands) -> Declaration {
    let mut fields = Vec::new();
    for stage in [Stage::Deal, Stage::M1, Stage::M2, Stage::M3, Stage::M4] {
        for group in groups {
            fields.extend(Site { group, operands }.fields(stage));
        }
    }
    let mut state = State::default();
    for group in groups {
        Site { group, operands }.leave(&mut state);
    }
    for held in [&mut state.client, &mut state.server, &mut state.helper] {
        held.extend(&operands.added);
        held.sort_unstable();
        held.dedup();
    }
    Declaration {
        draws: Draws::of_gate(groups),
        fields,
        state,
    }
}

impl Draws {
    /// What a gate of these groups draws.
    pub fn of_gate(groups: &[Group]) -> Self {
        let mut draws = Self::default();
        groups.iter().for_each(|group| draw(group, &mut draws));
        draws
    }
}

impl Group {
    /// Names a draw of this group.
    pub fn draw(&self, purpose: Purpose, item: usize) -> DrawId {
        DrawId {
            purpose,
            group: self.number,
            item,
        }
    }

    /// The mask of an opening.
    pub fn opening_mask(&self, at: usize) -> DrawId {
        let purpose = match at {
            0 => Purpose::OpeningMask,
            _ => Purpose::PatchMask,
        };
        self.draw(purpose, at)
    }

    /// Signs whose shares of a sign's bit go into what is opened for it: in a pair the first opened
    /// bit is that of both signs.
    fn joined(&self, sign: usize) -> std::ops::Range<usize> {
        match self.form {
            Form::Paired(_) if sign == 0 => 0..self.signs.len(),
            Form::Paired(_)
            | Form::Pass
            | Form::Requant
            | Form::Lower(_)
            | Form::Upper(_)
            | Form::Both(..) => sign..sign + 1,
        }
    }
}

/// What a group draws: the stretches of one stream follow one another in this order.
fn draw(group: &Group, draws: &mut Draws) {
    let pixels = group.pixels();
    match group.form {
        Form::Pass => {}
        Form::Requant => {
            draws.push(group.draw(Purpose::RequantBit, 0), pixels, Unit::Planes(1));
            draws.push(group.draw(Purpose::RequantShare, 0), pixels, Unit::Half);
            draws.push(group.draw(Purpose::FreshMask, 0), pixels, Unit::Half);
        }
        Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..) => {
            for at in group.order() {
                draw_opening(group, at, draws);
            }
            match group.rounds {
                Rounds::Two => draw_two_rounds(group, draws),
                Rounds::One => draw_one_round(group, draws),
            }
            draws.push(group.draw(Purpose::FreshMask, 0), pixels, Unit::Word);
        }
    }
}

/// What a gate in two rounds draws for its pixels.
fn draw_two_rounds(group: &Group, draws: &mut Draws) {
    let pixels = group.pixels();
    for product in 0..group.pixel_products() {
        draws.push(group.draw(Purpose::BetaProductShare, product), pixels, Unit::Half);
    }
    draws.push(group.draw(Purpose::WrapBitClient, 0), pixels, Unit::Planes(1));
    draws.push(group.draw(Purpose::WrapBitServer, 0), pixels, Unit::Planes(1));
    draws.push(group.draw(Purpose::WrapProductShare, 0), pixels, Unit::Word);
}

/// What a gate in one round draws for its pixels.
fn draw_one_round(group: &Group, draws: &mut Draws) {
    let pixels = group.pixels();
    for product in 0..group.pixel_products() {
        draws.push(group.draw(Purpose::BetaProductShare, product), pixels, Unit::Word);
        draws.push(group.draw(Purpose::BetaTopShare, product), pixels, Unit::Word);
    }
    draws.push(group.draw(Purpose::MaskWrapShare, 0), pixels, Unit::Word);
    draws.push(group.draw(Purpose::MaskTopShare, 0), pixels, Unit::Word);
}

fn draw_opening(group: &Group, at: usize, draws: &mut Draws) {
    let opening = &group.openings[at];
    let count = opening.count();
    draws.push(group.opening_mask(at), count, Unit::Half);
    if group.rounds == Rounds::One {
        for (sign, _) in group.signs_of(at) {
            let rows = Unit::Planes(garbled_planes(opening.ring));
            draws.push(group.draw(Purpose::GarblePad, sign), count, rows);
            let labels = Unit::Planes(KEY_PLANES);
            draws.push(group.draw(Purpose::GarbleLabel, sign), count, labels);
            draws.push(group.draw(Purpose::SignMaskClient, sign), count, Unit::Planes(1));
            draws.push(group.draw(Purpose::BetaShare, sign), count, Unit::Word);
        }
        return;
    }
    if group.signs_of(at).next().is_some() {
        let planes = Unit::Planes(table_planes(opening.ring));
        draws.push(group.draw(Purpose::TableShare, at), count, planes);
    }
    for (sign, _) in group.signs_of(at) {
        let compared = Unit::Planes(OPENED_BITS);
        draws.push(group.draw(Purpose::ComparisonMaskClient, sign), count, compared);
        draws.push(group.draw(Purpose::ComparisonMaskServer, sign), count, compared);
        let products = Unit::Planes(PRODUCTS);
        draws.push(group.draw(Purpose::ProductShare, sign), count, products);
        draws.push(group.draw(Purpose::SignMaskClient, sign), count, Unit::Planes(1));
        draws.push(group.draw(Purpose::SignMaskServer, sign), count, Unit::Planes(1));
        draws.push(group.draw(Purpose::BetaShare, sign), count, Unit::Half);
    }
}

/// A group at work on its operands.
#[derive(Clone, Copy)]
struct Site<'a> {
    group: &'a Group,
    operands: &'a GateOperands,
}

impl<'a> Site<'a> {
    fn fields(self, stage: Stage) -> Vec<Field> {
        let mut fields = Vec::new();
        for at in self.group.order() {
            let contents = self.group.contents(stage, at).into_iter();
            fields.extend(contents.map(|content| self.masked(stage, at, content)));
        }
        fields
    }

    fn masked(self, stage: Stage, at: usize, content: Content) -> Field {
        let count = self.group.openings[at].count();
        Field::masked(
            (self.id(content), stage),
            self.group.field(content).section(count),
            self.mask(content),
            self.payload(content),
        )
    }

    fn mask(self, content: Content) -> (DrawId, How) {
        let (purpose, item, how) = match content {
            Content::Opened(at) => return (self.group.opening_mask(at), How::Plus),
            Content::Tables(at) => (Purpose::TableShare, at, How::Xor),
            Content::Products(sign) => (Purpose::ProductShare, sign, How::Xor),
            Content::Beta(sign) => (Purpose::BetaShare, sign, How::Minus),
            Content::BetaProduct(product) => (Purpose::BetaProductShare, product, How::Minus),
            Content::WrapProduct => (Purpose::WrapProductShare, 0, How::Minus),
            Content::ServerCompared(sign) => (Purpose::ComparisonMaskServer, sign, How::Xor),
            Content::ClientCompared(sign) => (Purpose::ComparisonMaskClient, sign, How::Xor),
            Content::ClientSign(sign) => (Purpose::SignMaskClient, sign, How::Xor),
            Content::ServerSign(sign) => (Purpose::SignMaskServer, sign, How::Xor),
            Content::ServerTop => (Purpose::WrapBitServer, 0, How::Xor),
            Content::Result | Content::RequantResult => (Purpose::FreshMask, 0, How::Minus),
            Content::ClientTop => (Purpose::WrapBitClient, 0, How::Xor),
            Content::Garbled(sign) => (Purpose::GarblePad, sign, How::Garbled),
            Content::Keys(sign) => (Purpose::GarbleLabel, sign, How::Garbled),
            Content::BetaTop(product) => (Purpose::BetaTopShare, product, How::Minus),
            Content::MaskWrap => (Purpose::MaskWrapShare, 0, How::Minus),
            Content::MaskTop => (Purpose::MaskTopShare, 0, How::Minus),
            Content::RequantShare => (Purpose::RequantShare, 0, How::Minus),
            Content::RequantBit => (Purpose::RequantBit, 0, How::Xor),
        };
        (self.group.draw(purpose, item), how)
    }

    /// What the sender computes a field from.
    fn payload(self, content: Content) -> Vec<Atom> {
        let mut atoms = match content {
            Content::Tables(at) => self.secret(at),
            Content::Products(sign) => self.draws_of(
                [Purpose::ComparisonMaskClient, Purpose::ComparisonMaskServer],
                sign,
            ),
            Content::Beta(sign) => self.beta(sign),
            Content::BetaProduct(sign) | Content::BetaTop(sign) => [self.beta(sign), self.secret(0)].concat(),
            Content::Garbled(sign) => {
                let mut atoms = self.secret(self.sign(sign).opening);
                atoms.push(self.drawn(Purpose::GarbleLabel, sign));
                atoms
            }
            Content::Keys(sign) => {
                let mut atoms = self.secret(self.sign(sign).opening);
                atoms.extend(&self.operands.levels);
                atoms.push(self.drawn(Purpose::GarblePad, sign));
                atoms
            }
            Content::MaskWrap | Content::MaskTop => self.secret(0),
            Content::WrapProduct => self.draws_of([Purpose::WrapBitClient, Purpose::WrapBitServer], 0),
            Content::Opened(at) => self.value(at).to_vec(),
            Content::ServerCompared(sign) => self.looked_up_by_server(sign),
            Content::ClientCompared(sign) => self.looked_up_by_client(sign),
            Content::ClientSign(sign) if self.group.rounds == Rounds::One => self.evaluated(sign),
            Content::ClientSign(sign) => {
                let shares = self.group.joined(sign).map(|sign| self.clients_borrow(sign));
                shares.flatten().collect()
            }
            Content::ServerSign(sign) => {
                let shares = self.group.joined(sign).map(|sign| self.servers_borrow(sign));
                shares.flatten().collect()
            }
            Content::ServerTop => self.servers_result(),
            Content::ClientTop => self.clients_result(),
            Content::Result if self.group.rounds == Rounds::One => self.clients_result_at_once(),
            Content::Result => {
                let wrap = [Content::ClientTop, Content::ServerTop, Content::WrapProduct];
                let mut atoms = self.clients_result();
                atoms.push(self.drawn(Purpose::WrapBitClient, 0));
                atoms.extend(wrap.map(|content| self.seen(content)));
                atoms
            }
            Content::RequantShare => {
                let mut atoms = self.value(0).to_vec();
                atoms.push(self.drawn(Purpose::RequantBit, 0));
                atoms
            }
            Content::RequantBit => self.value(0).to_vec(),
            Content::RequantResult => {
                let seen = [Content::RequantShare, Content::RequantBit];
                let mut atoms = self.value(0).to_vec();
                atoms.extend(seen.map(|content| self.seen(content)));
                atoms
            }
        };
        atoms.sort_unstable();
        atoms.dedup();
        atoms
    }

    /// What the parties are left with.
    fn leave(self, state: &mut State) {
        let fresh = self.drawn(Purpose::FreshMask, 0);
        match self.group.form {
            Form::Pass => {
                for held in [&mut state.client, &mut state.server, &mut state.helper] {
                    held.extend(self.value(0));
                }
            }
            Form::Requant => {
                for held in [&mut state.client, &mut state.helper] {
                    held.extend(self.value(0));
                    held.push(fresh);
                }
                state.server.extend(self.value(0));
                state.server.push(self.drawn(Purpose::RequantShare, 0));
                let seen = [Content::RequantBit, Content::RequantResult];
                state.server.extend(seen.map(|content| self.seen(content)));
            }
            Form::Lower(_) | Form::Upper(_) | Form::Paired(_) | Form::Both(..) => {
                state.client.push(fresh);
                state.helper.push(fresh);
                if self.group.rounds == Rounds::One {
                    state.server.extend(self.servers_result_at_once());
                    return;
                }
                state.server.extend(self.servers_result());
                let own = [Purpose::WrapBitServer, Purpose::WrapProductShare];
                state.server.extend(self.draws_of(own, 0));
                let seen = [Content::ServerTop, Content::Result, Content::ClientTop];
                state.server.extend(seen.map(|content| self.seen(content)));
            }
        }
    }

    fn id(self, content: Content) -> FieldId {
        let group = self.group.number;
        FieldId::Gate { group, content }
    }

    fn seen(self, content: Content) -> Atom {
        Atom::Field(self.id(content))
    }

    fn drawn(self, purpose: Purpose, item: usize) -> Atom {
        Atom::Draw(self.group.draw(purpose, item))
    }

    fn draws_of<const N: usize>(self, purposes: [Purpose; N], item: usize) -> Vec<Atom> {
        purposes.map(|purpose| self.drawn(purpose, item)).to_vec()
    }

    fn sign(self, sign: usize) -> Sign {
        self.group.signs[sign]
    }

    /// A party's half of an opening's values.
    fn value(self, at: usize) -> &'a [Atom] {
        match at {
            0 => &self.operands.pixels,
            _ => &self.operands.patches,
        }
    }

    /// What the values of an opening are masked with, and so compared with: r = sigma - rs.
    fn secret(self, at: usize) -> Vec<Atom> {
        let mut atoms = self.value(at).to_vec();
        atoms.push(Atom::Draw(self.group.opening_mask(at)));
        atoms
    }

    /// The mask of a sign's opened bit, as the helper makes it.
    fn beta(self, sign: usize) -> Vec<Atom> {
        let mut atoms = self.secret(self.sign(sign).opening);
        match self.group.rounds {
            Rounds::Two => {
                atoms.extend(self.draws_of([Purpose::SignMaskClient, Purpose::SignMaskServer], sign));
            }
            Rounds::One => {
                for sign in self.group.joined(sign) {
                    atoms.extend(self.draws_of([Purpose::SignMaskClient, Purpose::GarbleLabel], sign));
                }
            }
        }
        atoms
    }

    /// What the client gets of a garbled comparison: the borrow under the mask of the last state.
    fn evaluated(self, sign: usize) -> Vec<Atom> {
        let at = self.sign(sign).opening;
        let seen = [Content::Garbled(sign), Content::Keys(sign), Content::Opened(at)];
        let mut atoms = seen.map(|content| self.seen(content)).to_vec();
        atoms.extend(&self.operands.levels);
        atoms
    }

    /// The client's share of the result of one round.
    fn clients_result_at_once(self) -> Vec<Atom> {
        let mut atoms = self.value(0).to_vec();
        atoms.extend(
            [Content::Opened(0), Content::MaskWrap, Content::MaskTop].map(|content| self.seen(content)),
        );
        for sign in 0..self.group.signs.len() {
            atoms.extend(self.evaluated(sign));
            atoms.push(self.drawn(Purpose::SignMaskClient, sign));
            atoms.push(self.seen(Content::Beta(sign)));
        }
        for product in 0..self.group.pixel_products() {
            let dealt = [Content::BetaProduct(product), Content::BetaTop(product)];
            atoms.extend(dealt.map(|content| self.seen(content)));
        }
        atoms
    }

    /// What the server has of the result of one round.
    fn servers_result_at_once(self) -> Vec<Atom> {
        let mut atoms = self.secret(0);
        atoms.extend(&self.operands.levels);
        atoms.extend(self.draws_of([Purpose::MaskWrapShare, Purpose::MaskTopShare], 0));
        for sign in 0..self.group.signs.len() {
            atoms.push(self.seen(Content::ClientSign(sign)));
            atoms.push(self.drawn(Purpose::BetaShare, sign));
        }
        for product in 0..self.group.pixel_products() {
            let shares = [Purpose::BetaProductShare, Purpose::BetaTopShare];
            atoms.extend(self.draws_of(shares, product));
        }
        atoms.push(self.seen(Content::Result));
        atoms
    }

    /// The server's shares of table entries at what it opened.
    fn looked_up_by_server(self, sign: usize) -> Vec<Atom> {
        let at = self.sign(sign).opening;
        let mut atoms = self.secret(at);
        atoms.push(self.drawn(Purpose::TableShare, at));
        atoms.extend(&self.operands.levels);
        atoms
    }

    /// The client's shares of table entries at what the server opened.
    fn looked_up_by_client(self, sign: usize) -> Vec<Atom> {
        let at = self.sign(sign).opening;
        let mut atoms = vec![self.seen(Content::Tables(at)), self.seen(Content::Opened(at))];
        atoms.extend(&self.operands.levels);
        atoms
    }

    /// The client's share of a comparison's borrow.
    fn clients_borrow(self, sign: usize) -> Vec<Atom> {
        let mut atoms = self.looked_up_by_client(sign);
        atoms.push(self.drawn(Purpose::ComparisonMaskClient, sign));
        let seen = [Content::ServerCompared(sign), Content::Products(sign)];
        atoms.extend(seen.map(|content| self.seen(content)));
        atoms
    }

    /// The server's share of a comparison's borrow.
    fn servers_borrow(self, sign: usize) -> Vec<Atom> {
        let mut atoms = self.looked_up_by_server(sign);
        atoms.extend(self.draws_of([Purpose::ComparisonMaskServer, Purpose::ProductShare], sign));
        atoms.push(self.seen(Content::ClientCompared(sign)));
        atoms
    }

    /// The client's share of the result modulo 2^k.
    fn clients_result(self) -> Vec<Atom> {
        let mut atoms = self.value(0).to_vec();
        atoms.push(self.seen(Content::Opened(0)));
        atoms.extend(&self.operands.levels);
        for sign in 0..self.group.signs.len() {
            let opened = [Content::ClientSign(sign), Content::ServerSign(sign)];
            atoms.extend(opened.map(|content| self.seen(content)));
            atoms.push(self.seen(Content::Beta(sign)));
        }
        let products = (0..self.group.pixel_products()).map(Content::BetaProduct);
        atoms.extend(products.map(|content| self.seen(content)));
        atoms
    }

    /// The server's share of the result modulo 2^k.
    fn servers_result(self) -> Vec<Atom> {
        let mut atoms = self.secret(0);
        atoms.extend(&self.operands.levels);
        for sign in 0..self.group.signs.len() {
            let opened = [Content::ClientSign(sign), Content::ServerSign(sign)];
            atoms.extend(opened.map(|content| self.seen(content)));
            atoms.push(self.drawn(Purpose::BetaShare, sign));
        }
        let products = 0..self.group.pixel_products();
        atoms.extend(products.map(|product| self.drawn(Purpose::BetaProductShare, product)));
        atoms
    }
}
