//! Blocks of 512 values, on which gates work.
//!
//! A gate does some thirty small things to each value. Done to a whole layer one after the other,
//! each of them would read and write all of it through memory; done to 512 values, which fit the
//! first-level cache with all that belongs to them, memory is touched once. In messages and streams
//! the values come in the same blocks (see [`Segment`](trefoil_ir::mpc::gate::Segment)), so that
//! blocks are read, worked on and written independently, by any number of threads.
//!
//! The last block of a segment may hold fewer values. Then all 512 are computed and the surplus is
//! left out where a message or a result is written.
//!
//! - [`Bits`]: one bit of each value; all functions on them are free of branches on any bit
//! - [`BlockWriter`], [`BlockReader`]: a block's part of a message
//! - [`Masks`]: a block's part of a stream
//! - [`Places`]: where the values of blocks stand in a layer
//! - [`run`]: the jobs of one pass, on one thread or more
//!
//! Slicing, expanding and packing have a path for AVX-512, with the same results.

#[cfg(target_arch = "x86_64")]
mod avx512;
mod masks;
mod payload;
mod places;
mod portable;
#[cfg(test)]
mod tests;

pub use masks::Masks;
pub use payload::{BlockReader, BlockWriter};
pub use places::{Places, Stretches};

use rayon::prelude::*;
use trefoil_ir::mpc::gate::BLOCK;

use crate::kernel::{Isa, Loop, widened};
use crate::wipe::wipe;
use crate::wire::bits::BitsError;

/// Words of 64 bits that hold one bit of each value.
const WORDS: usize = BLOCK / 64;

/// One bit of each value of a block, the first value's lowest.
pub type Bits = [u64; WORDS];

/// A block of 16-bit values.
pub type Halves = [u16; BLOCK];

/// A block of 32-bit values.
pub type Words = [u32; BLOCK];

/// No bit set.
pub const ZEROS: Bits = [0; WORDS];

/// Blocks that one job works on: some tens of microseconds.
pub const JOB: usize = 16;

/// The number of blocks that `count` values take.
pub fn blocks(count: usize) -> usize {
    count.div_ceil(BLOCK)
}

/// The number of values in block `block` of `count` values.
pub fn values_in(block: usize, count: usize) -> usize {
    BLOCK.min(count - block * BLOCK)
}

/// Cuts what belongs to blocks, `full` elements to each, into what belongs to jobs.
pub fn jobs<T>(values: &mut [T], full: usize) -> std::slice::ChunksMut<'_, T> {
    values.chunks_mut((JOB * full).max(1))
}

/// Values of a job.
pub const JOB_VALUES: usize = JOB * BLOCK;

/// Does `work` for each job, with the number of its first block; jobs share the threads of rayon's
/// current pool. A single job is not worth waking another thread.
///
/// # Errors
/// One that a job has.
pub fn run<T: Send, E: Send>(
    jobs: impl IntoIterator<Item = T>,
    work: impl Fn(usize, T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let mut jobs: Vec<T> = jobs.into_iter().collect();
    match (jobs.len(), jobs.pop()) {
        (_, None) => Ok(()),
        (1, Some(job)) => work(0, job),
        (_, Some(last)) => {
            jobs.push(last);
            let jobs = jobs.into_par_iter().enumerate().with_max_len(1);
            jobs.try_for_each(|(at, job)| work(at * JOB, job))
        }
    }
}

/// The work on each block in one pass of a gate.
pub trait BlockWork: Sync {
    /// What one block alone may write.
    type Own<'a>;

    /// Works on block `block`. Must be `#[inline(always)]`, and so must be what it calls: only what is inlined into
    /// [`work_on`] is compiled for the wider instructions.
    ///
    /// # Errors
    /// If what it reads is malformed.
    fn block(&self, block: usize, own: Self::Own<'_>) -> Result<(), BitsError>;
}

/// Works on one block with the instructions of `isa`, as [`Isa`] found them.
///
/// # Errors
/// As the work.
pub fn work_on<W: BlockWork>(isa: Isa, work: &W, block: usize, own: W::Own<'_>) -> Result<(), BitsError> {
    widened(isa, One { work, block, own })
}

struct One<'w, 'o, W: BlockWork> {
    work: &'w W,
    block: usize,
    own: W::Own<'o>,
}

impl<W: BlockWork> Loop for One<'_, '_, W> {
    type Output = Result<(), BitsError>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        self.work.block(self.block, self.own)
    }
}

/// Works on each block of `count` values, whose part of a message is `part`, `full` bytes to a
/// whole block.
///
/// # Errors
/// As the work.
pub fn write<W>(isa: Isa, work: &W, count: usize, part: &mut [u8], full: usize) -> Result<(), BitsError>
where
    W: for<'a> BlockWork<Own<'a> = BlockWriter<'a>>,
{
    run(jobs(part, full), |first, part| {
        let blocks = (first..).zip(part.chunks_mut(full));
        for (block, bytes) in blocks {
            let writer = BlockWriter::new(isa, bytes, values_in(block, count));
            work_on(isa, work, block, writer)?;
        }
        Ok(())
    })
}

/// Works on each block as [`write()`] does, where the work also keeps one `K` of it in each of `kept`.
///
/// # Errors
/// As the work.
pub fn write_and_keep<W, K: Send>(
    isa: Isa,
    work: &W,
    count: usize,
    (part, full): (&mut [u8], usize),
    kept: Vec<&mut [K]>,
) -> Result<(), BitsError>
where
    W: for<'a> BlockWork<Own<'a> = (BlockWriter<'a>, Vec<&'a mut K>)>,
{
    let mut kept: Vec<_> = kept.into_iter().map(|kept| jobs(kept, 1)).collect();
    let jobs = jobs(part, full).map(|part| {
        let kept: Vec<_> = kept.iter_mut().filter_map(Iterator::next).collect();
        (part, kept)
    });
    run(jobs.collect::<Vec<_>>(), |first, (part, mut kept)| {
        for (at, bytes) in part.chunks_mut(full).enumerate() {
            let writer = BlockWriter::new(isa, bytes, values_in(first + at, count));
            let kept = kept.iter_mut().map(|kept| &mut kept[at]).collect();
            work_on(isa, work, first + at, (writer, kept))?;
        }
        Ok(())
    })
}

/// Works on each block where the work keeps one `K` in each of `kept`, and writes no message.
///
/// # Errors
/// As the work.
pub fn keep<W, K: Send>(isa: Isa, work: &W, kept: Vec<&mut [K]>) -> Result<(), BitsError>
where
    W: for<'a> BlockWork<Own<'a> = Vec<&'a mut K>>,
{
    let count = kept.first().map_or(0, |kept| kept.len());
    let mut kept: Vec<_> = kept.into_iter().map(|kept| jobs(kept, 1)).collect();
    let jobs = (0..count.div_ceil(JOB)).map(|_| kept.iter_mut().filter_map(Iterator::next).collect());
    run(jobs.collect::<Vec<Vec<&mut [K]>>>(), |first, mut kept| {
        for at in 0..JOB.min(count - first) {
            let kept = kept.iter_mut().map(|kept| &mut kept[at]).collect();
            work_on(isa, work, first + at, kept)?;
        }
        Ok(())
    })
}

/// Works on each block of a whole layer, in place.
///
/// # Errors
/// As the work.
pub fn update<W>(isa: Isa, work: &W, layer: &mut [u32]) -> Result<(), BitsError>
where
    W: for<'a> BlockWork<Own<'a> = &'a mut [u32]>,
{
    run(jobs(layer, BLOCK), |first, values| {
        let blocks = (first..).zip(values.chunks_mut(BLOCK));
        for (block, values) in blocks {
            work_on(isa, work, block, values)?;
        }
        Ok(())
    })
}

/// Works on each block of the pixels of a layer that stand in these `places`.
///
/// # Errors
/// As the work.
pub fn fill<W>(isa: Isa, work: &W, places: &Places, layer: &mut [u32]) -> Result<(), BitsError>
where
    W: for<'a> BlockWork<Own<'a> = &'a mut Words>,
{
    run(places.jobs(layer), |first, mut stretches| {
        let mut values = [0; BLOCK];
        for block in first..blocks(places.count()).min(first + JOB) {
            work_on(isa, work, block, &mut values)?;
            stretches.write(&values[..values_in(block, places.count())]);
        }
        wipe(&mut values);
        Ok(())
    })
}

/// `a ^= b`
#[inline(always)]
pub fn xor(a: &mut Bits, b: &Bits) {
    for (a, b) in a.iter_mut().zip(b) {
        *a ^= b;
    }
}

/// `a & b`
#[inline(always)]
pub fn and(a: &Bits, b: &Bits) -> Bits {
    std::array::from_fn(|i| a[i] & b[i])
}

/// `a | b`
#[inline(always)]
pub fn or(a: &Bits, b: &Bits) -> Bits {
    std::array::from_fn(|i| a[i] | b[i])
}

/// `a ^= b & c`
#[inline(always)]
pub fn xor_and(a: &mut Bits, b: &Bits, c: &Bits) {
    for i in 0..WORDS {
        a[i] ^= b[i] & c[i];
    }
}

/// `zero` where the bit is zero, `one` where it is one.
#[inline(always)]
pub fn select(zero: &Bits, one: &Bits, bit: &Bits) -> Bits {
    std::array::from_fn(|i| zero[i] ^ (zero[i] ^ one[i]) & bit[i])
}

/// Every bit turned round.
#[inline(always)]
pub fn not(a: &mut Bits) {
    a.iter_mut().for_each(|word| *word = !*word);
}

/// Bit `j` of each value to `planes[j]`; at most 16.
#[inline(always)]
pub fn slice(isa: Isa, values: &Halves, planes: &mut [Bits]) {
    #[cfg(target_arch = "x86_64")]
    if isa.runs_avx512() {
        return avx512::slice(values, planes);
    }
    let _ = isa;
    portable::slice(values, planes);
}

/// Bit `bit` of each value, of 16.
#[inline(always)]
pub fn bit(isa: Isa, values: &Halves, bit: u32) -> Bits {
    #[cfg(target_arch = "x86_64")]
    if isa.runs_avx512() {
        return avx512::bit(values, bit);
    }
    let _ = isa;
    portable::bit(values, bit)
}

/// Each bit as a value with all bits set, or none.
#[inline(always)]
pub fn expand(isa: Isa, bits: &Bits, values: &mut Halves) {
    #[cfg(target_arch = "x86_64")]
    if isa.runs_avx512() {
        return avx512::expand(bits, values);
    }
    let _ = isa;
    portable::expand(bits, values);
}
