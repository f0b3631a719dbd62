//! Operators that treat every element by itself.

use super::array::DType;

macro_rules! words {
    ($(#[$about:meta])* $enum:ident { $($(#[$doc:meta])* $name:ident $word:literal),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        pub enum $enum { $($(#[$doc])* $name),* }

        impl $enum {
            /// All of them.
            pub const ALL: &[Self] = &[$($enum::$name),*];

            /// Its word in the text form.
            pub fn word(self) -> &'static str {
                match self { $($enum::$name => $word),* }
            }

            /// The one of this word.
            pub fn of_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|op| op.word() == word)
            }
        }
    };
}
pub(super) use words;

words! {
    /// A function of one number.
    Unary {
        /// 1 / (1 + exp(-x))
        Sigmoid "sigmoid",
        /// Hyperbolic tangent.
        Tanh "tanh",
        /// exp(x)
        Exp "exp",
        /// Natural logarithm.
        Log "log",
        /// Square root.
        Sqrt "sqrt",
        /// 1 / x
        Reciprocal "reciprocal",
        /// |x|
        Abs "abs",
        /// -x
        Neg "neg",
        /// log(1 + exp(x))
        Softplus "softplus",
        /// x / (1 + |x|)
        Softsign "softsign",
        /// The next whole number, of two the even one.
        Round "round",
        /// The next whole number below.
        Floor "floor",
        /// The next whole number above.
        Ceil "ceil",
    }
}

impl Unary {
    /// Whether it takes numbers of this type.
    pub(super) fn takes(self, dtype: DType) -> bool {
        match self {
            Unary::Abs | Unary::Neg => dtype != DType::Bool,
            _ => dtype.is_float(),
        }
    }

    pub(super) fn of(self, x: f64) -> f64 {
        match self {
            Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Unary::Tanh => x.tanh(),
            Unary::Exp => x.exp(),
            Unary::Log => x.ln(),
            Unary::Sqrt => x.sqrt(),
            Unary::Reciprocal => 1.0 / x,
            Unary::Abs => x.abs(),
            Unary::Neg => -x,
            // exp(x) would overflow.
            Unary::Softplus => x.max(0.0) + (-x.abs()).exp().ln_1p(),
            Unary::Softsign => x / (1.0 + x.abs()),
            Unary::Round => x.round_ties_even(),
            Unary::Floor => x.floor(),
            Unary::Ceil => x.ceil(),
        }
    }
}

words! {
    /// A function of two numbers of one type.
    Binary {
        /// a + b
        Add "add",
        /// a - b
        Sub "sub",
        /// a · b
        Mul "mul",
        /// a / b
        Div "div",
        /// a to the power of b
        Pow "pow",
        /// The larger one.
        Max "max",
        /// The smaller one.
        Min "min",
        /// a > b
        Greater "greater",
        /// a >= b
        GreaterOrEqual "greater_or_equal",
        /// a < b
        Less "less",
        /// a <= b
        LessOrEqual "less_or_equal",
    }
}

impl Binary {
    /// Type of the result.
    pub(super) fn result(self, operands: DType) -> DType {
        match self {
            Binary::Greater | Binary::GreaterOrEqual | Binary::Less | Binary::LessOrEqual => DType::Bool,
            _ => operands,
        }
    }

    pub(super) fn of(self, a: f64, b: f64) -> f64 {
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Pow => a.powf(b),
            Binary::Max => a.max(b),
            Binary::Min => a.min(b),
            Binary::Greater => f64::from(a > b),
            Binary::GreaterOrEqual => f64::from(a >= b),
            Binary::Less => f64::from(a < b),
            Binary::LessOrEqual => f64::from(a <= b),
        }
    }
}
