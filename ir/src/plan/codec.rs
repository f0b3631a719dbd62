//! The plan file: the only module that knows bincode.
//!
//! ```text
//! "TREFOIL\0" | role u8 | format version u16 | public length u64 | public | private length u64 | private | BLAKE3
//! ```
//!
//! All numbers little-endian. The public part is encoded alike in all three plans, and its BLAKE3
//! hash is the [`Digest`] that the parties compare. The hash at the end covers everything before
//! it: it tells a damaged file, not a forged one.

use bincode::config::{self, Config};
use bincode::enc::write::SizeWriter;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;
use zeroize::Zeroizing;

use super::check::{Part, PartError};
use super::identity::Digest;
use super::parts::{
    ClientPart, ClientPlan, HelperPart, HelperPlan, Owner, Plan, Public, ServerPart, ServerPlan,
};
use crate::Verified;
use crate::mpc::Program;
use crate::mpc::privacy::{self, Breach};

const MAGIC: &[u8; 8] = b"TREFOIL\0";

/// Version of the encoding; other versions are refused.
pub const FORMAT_VERSION: u16 = 5;

/// No file may claim to decode to more than this.
const LIMIT: usize = 1 << 33;

const HEADER: usize = MAGIC.len() + 1 + 2;
const HASH: usize = 32;

/// Whose plan a file is, by the byte in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The client's.
    Client,
    /// The server's.
    Server,
    /// The helper's.
    Helper,
    /// The model owner's record.
    Owner,
}

impl Role {
    const ALL: [Role; 4] = [Role::Client, Role::Server, Role::Helper, Role::Owner];

    fn byte(self) -> u8 {
        match self {
            Role::Client => 1,
            Role::Server => 2,
            Role::Helper => 3,
            Role::Owner => 4,
        }
    }

    /// The word of messages and file names.
    pub fn word(self) -> &'static str {
        match self {
            Role::Client => "client",
            Role::Server => "server",
            Role::Helper => "helper",
            Role::Owner => "owner",
        }
    }
}

/// Why a plan file cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// It does not begin as a plan file does.
    #[error("this is not a plan file: give one of the files that `trefoil compile` writes")]
    NotAPlan,
    /// It was written by another version.
    #[error(
        "the plan has format {found}, and this program reads format {FORMAT_VERSION}: compile the model anew"
    )]
    Version {
        /// Version of the file.
        found: u16,
    },
    /// It ends too early, is too long, or was changed.
    #[error("the plan file is damaged: {0}; copy or compile it again")]
    Damaged(String),
    /// It is another party's.
    #[error("this is the {}'s plan, and the {}'s is needed", found.word(), needed.word())]
    Role {
        /// Whose plan the file is.
        found: Role,
        /// Whose plan is needed.
        needed: Role,
    },
    /// It decodes, but the program breaks a rule.
    #[error("the plan's program is unsound: {}", .0.join("; "))]
    Program(Vec<String>),
    /// It decodes, but what its program sends cannot be shown to tell nothing.
    #[error("the plan's program would leak: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Leak(Vec<Breach>),
    /// Its program carries units and bounds of values, which only the owner may know.
    #[error("the plan's program carries the owner's notes on its values: compile the model anew")]
    Notes,
    /// It decodes, but the party's part does not fit the program.
    #[error("the plan is unsound: {0}")]
    Part(PartError),
}

fn configuration() -> impl Config {
    config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit::<LIMIT>()
}

/// The encoding of a value. It is measured first: a buffer that grew would leave copies of its secret
/// content behind.
fn to_bytes<T: Serialize>(value: &T) -> Zeroizing<Vec<u8>> {
    const SOUND: &str = "plans hold nothing that cannot be encoded";
    let mut size = SizeWriter::default();
    bincode::serde::encode_into_writer(value, &mut size, configuration()).expect(SOUND);
    let mut bytes = Zeroizing::new(vec![0; size.bytes_written]);
    let written = bincode::serde::encode_into_slice(value, &mut bytes, configuration()).expect(SOUND);
    debug_assert_eq!(written, bytes.len());
    bytes
}

fn from_bytes<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, PlanError> {
    match bincode::serde::decode_from_slice(bytes, configuration()) {
        Ok((value, used)) if used == bytes.len() => Ok(value),
        Ok(_) => Err(PlanError::Damaged(format!(
            "{what} is followed by something else"
        ))),
        Err(_) => Err(PlanError::Damaged(format!("{what} cannot be decoded"))),
    }
}

pub(super) fn encode_program(program: &Program) -> Zeroizing<Vec<u8>> {
    to_bytes(program)
}

fn seal(role: Role, public: &[u8], private: &[u8]) -> Vec<u8> {
    let mut file = Vec::with_capacity(HEADER + 16 + public.len() + private.len() + HASH);
    file.extend_from_slice(MAGIC);
    file.push(role.byte());
    file.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    for part in [public, private] {
        file.extend_from_slice(&(part.len() as u64).to_le_bytes());
        file.extend_from_slice(part);
    }
    let hash = blake3::hash(&file);
    file.extend_from_slice(hash.as_bytes());
    file
}

/// Whose plan a file is.
///
/// # Errors
/// If it is no plan file, of another version, or damaged.
pub fn decode_role(file: &[u8]) -> Result<Role, PlanError> {
    if !file.starts_with(MAGIC) {
        return Err(PlanError::NotAPlan);
    }
    let Some(&[role, low, high]) = file[MAGIC.len()..].first_chunk() else {
        return Err(PlanError::Damaged("it ends within its header".into()));
    };
    let found = u16::from_le_bytes([low, high]);
    if found != FORMAT_VERSION {
        return Err(PlanError::Version { found });
    }
    let (content, hash) = file.split_at(file.len().saturating_sub(HASH));
    if blake3::hash(content).as_bytes() != hash {
        return Err(PlanError::Damaged("its hash does not match its content".into()));
    }
    Role::ALL
        .into_iter()
        .find(|r| r.byte() == role)
        .ok_or_else(|| PlanError::Damaged("it belongs to no known party".into()))
}

/// Splits a file into its public and private part.
fn open(file: &[u8], needed: Role) -> Result<(&[u8], &[u8]), PlanError> {
    let found = decode_role(file)?;
    if found != needed {
        return Err(PlanError::Role { found, needed });
    }
    let mut rest = &file[HEADER..file.len() - HASH];
    let public = take(&mut rest).ok_or_else(too_short)?;
    let private = take(&mut rest).ok_or_else(too_short)?;
    if !rest.is_empty() {
        return Err(PlanError::Damaged("it is longer than it says".into()));
    }
    Ok((public, private))
}

/// Takes a part with its length in front of it; `None` if the file ends before the part does.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (part, tail) = tail.split_at_checked(length)?;
    *rest = tail;
    Some(part)
}

fn too_short() -> PlanError {
    PlanError::Damaged("it is shorter than it says".into())
}

fn verified(program: Program) -> Result<Verified<Program>, PlanError> {
    program
        .verify()
        .map_err(|faults| PlanError::Program(faults.iter().map(ToString::to_string).collect()))
}

impl Public {
    /// Hash of the public part.
    pub fn digest(&self) -> Digest {
        Digest(*blake3::hash(&to_bytes(self)).as_bytes())
    }
}

macro_rules! plan_file {
    ($plan:ty, $part:ty, $role:expr) => {
        impl $plan {
            /// The file of this party; wiping it is the caller's part.
            pub fn encode(public: &Public, part: &$part) -> Vec<u8> {
                seal($role, &to_bytes(public), &to_bytes(part))
            }

            /// Reads and checks a file.
            ///
            /// # Errors
            /// If the file is no plan, damaged, another party's, or unsound.
            pub fn decode(file: &[u8]) -> Result<Self, PlanError> {
                let (public_bytes, private) = open(file, $role)?;
                let digest = Digest(*blake3::hash(public_bytes).as_bytes());
                let public: Public = from_bytes(public_bytes, "the public part")?;
                // Units and bounds of inner layers are the owner's alone.
                if public.program.steps.iter().any(|step| step.note.is_some()) {
                    return Err(PlanError::Notes);
                }
                let program = verified(public.program)?;
                let proof = privacy::prove(&program).map_err(PlanError::Leak)?;
                let part: $part = from_bytes(private, "the private part")?;
                part.check(&program).map_err(PlanError::Part)?;
                Ok(Plan::new(program, proof, public.plan_id, digest, part))
            }
        }
    };
}
plan_file!(ClientPlan, ClientPart, Role::Client);
plan_file!(ServerPlan, ServerPart, Role::Server);
plan_file!(HelperPlan, HelperPart, Role::Helper);

impl Owner {
    /// The owner's file; wiping it is the caller's part.
    pub fn encode(&self) -> Vec<u8> {
        seal(Role::Owner, &[], &to_bytes(self))
    }

    /// Reads and checks a file.
    ///
    /// # Errors
    /// If the file is no record of a compilation, damaged, or unsound.
    pub fn decode(file: &[u8]) -> Result<Self, PlanError> {
        let (_, private) = open(file, Role::Owner)?;
        let owner: Owner = from_bytes(private, "the record")?;
        let program = verified(owner.program.clone())?;
        owner.check(&program).map_err(PlanError::Part)?;
        Ok(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Shape;
    use crate::mpc::op;
    use crate::plan::{PlanId, SecretSeed};

    fn public() -> Public {
        let mut program = Program::new("tiny");
        let x = program
            .push(
                op::Input {
                    shape: Shape::new(1, 2, 2),
                },
                &[],
                "x",
            )
            .unwrap();
        program.push(op::Reveal, &[x], "y").unwrap();
        Public {
            program,
            plan_id: PlanId([7; 32]),
        }
    }

    fn part() -> HelperPart {
        HelperPart {
            weight_seed: SecretSeed::new([9; 32]),
            with_client: SecretSeed::new([10; 32]),
            with_server: SecretSeed::new([11; 32]),
        }
    }

    fn helper_file() -> Vec<u8> {
        HelperPlan::encode(&public(), &part())
    }

    #[test]
    fn a_plan_reads_back_with_the_digest_of_its_public_part() {
        let plan = HelperPlan::decode(&helper_file()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(plan.digest(), public().digest());
        assert_eq!(plan.proof().revealed_bits, 64);
        assert_eq!(plan.program().steps.len(), 2);
    }

    #[test]
    fn another_partys_plan_is_refused() {
        let error = ServerPlan::decode(&helper_file()).err().expect("refused");
        assert_eq!(
            error.to_string(),
            "this is the helper's plan, and the server's is needed"
        );
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_noticed() {
        let file = helper_file();
        for at in 0..file.len() {
            let mut broken = file.clone();
            broken[at] ^= 1 << (at % 8);
            assert!(HelperPlan::decode(&broken).is_err(), "flip at {at}");
            assert!(HelperPlan::decode(&file[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn an_unsound_program_is_refused_even_with_a_good_hash() {
        let mut public = public();
        public.program.steps[1].args[0] = crate::mpc::ValueId(5);
        let file = HelperPlan::encode(&public, &part());
        assert!(matches!(HelperPlan::decode(&file), Err(PlanError::Program(_))));
    }

    /// A clip with patch sums of its own, and the server's constants of it.
    fn clip_with_sums(sums: &str, sum_level: i32) -> Vec<u8> {
        let text = format!(
            "program \"sums\" {{
  const c0 : multiplier[1]{{65536}}
  const c1 : multiplier[1]{{4096}}
  const c2 : level[1]{{9}}
  const c3 : sum_level[1]{{{sum_level}}}
  %0 = input {{shape=[1, 4, 16]}}
  %1 = lift %0 {{multiplier=c0}}
  %2 = truncate %1 {{keep=[16]}}
  %3 = pool_sums %0 {{multiplier=c1, of=[0], patches=[{sums}]}}
  %4 = truncate_sums %3
  %5 = clip %2, %4 {{level=c2, sum_level=c3, lower=[4x4], upper=[4x4]}}
  %6 = reveal %5
}}"
        );
        let parsed = Program::parse(&text, &crate::text::TensorStore::new());
        let (program, constants) = parsed.unwrap_or_else(|e| panic!("{e}"));
        let part = ServerPart {
            constants: constants.into_iter().map(|c| c.expect("written")).collect(),
            with_client: SecretSeed::new([10; 32]),
            with_helper: SecretSeed::new([11; 32]),
        };
        let public = Public {
            program,
            plan_id: PlanId([7; 32]),
        };
        ServerPlan::encode(&public, &part)
    }

    #[test]
    fn sums_of_other_patches_than_the_gates_are_refused() {
        assert!(ServerPlan::decode(&clip_with_sums("4x4", 36_864)).is_ok());
        // As many patches, of another size.
        let error = ServerPlan::decode(&clip_with_sums("1x16", 36_864)).err();
        assert!(
            matches!(&error, Some(PlanError::Program(faults)) if faults[0].contains("not the sums")),
            "{error:?}"
        );
    }

    #[test]
    fn sum_levels_that_would_wrap_are_refused() {
        for (level, fits) in [
            ((1 << 27) - 4097, true),
            (1 << 27, false),
            (0, false),
            (-5, false),
        ] {
            let error = ServerPlan::decode(&clip_with_sums("4x4", level)).err();
            assert_eq!(error.is_none(), fits, "{level}: {error:?}");
            if let Some(error) = error {
                assert!(error.to_string().contains("sum levels c3"), "{error}");
            }
        }
    }

    #[test]
    fn notes_in_a_public_part_are_refused() {
        let mut public = public();
        public.program.steps[0].note = Some(crate::mpc::Note::default());
        let file = HelperPlan::encode(&public, &part());
        assert_eq!(HelperPlan::decode(&file).err(), Some(PlanError::Notes));
    }
}
