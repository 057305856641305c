//! Steps of optimizers over flat single-precision buffers: gradients come tensor by tensor, everything else lies one
//! tensor after the other in the same order. Elements are independent or sums are made in chunks of fixed size, so that
//! results do not depend on the number of threads.

pub mod adamw;
pub mod average;
pub mod fake;
pub mod muon;
pub mod norm;
pub mod sign;

use crate::kernel::fault::{Fault, expect_length};

/// Elements that one task works on.
const CHUNK: usize = 1 << 14;

/// A chunk of one tensor: its gradient, its parameters and its `K` states, all of the same length.
struct Piece<'a, const K: usize> {
    gradient: &'a [f32],
    parameters: &'a mut [f32],
    states: [&'a mut [f32]; K],
}

/// Cuts flat buffers at the ends of tensors and every `CHUNK` elements within them.
fn pieces<'a, const K: usize>(
    mut parameters: &'a mut [f32],
    gradients: &[&'a [f32]],
    mut states: [&'a mut [f32]; K],
) -> Result<Vec<Piece<'a, K>>, Fault> {
    let total = gradients.iter().map(|gradient| gradient.len()).sum();
    expect_length("the parameter buffer", parameters.len(), total)?;
    for state in &states {
        expect_length("a state buffer", state.len(), total)?;
    }
    let mut found = Vec::new();
    for gradient in gradients.iter().flat_map(|gradient| gradient.chunks(CHUNK)) {
        let take = |buffer: &mut &'a mut [f32]| {
            let (head, tail) = std::mem::take(buffer).split_at_mut(gradient.len());
            *buffer = tail;
            head
        };
        found.push(Piece {
            gradient,
            parameters: take(&mut parameters),
            states: std::array::from_fn(|index| take(&mut states[index])),
        });
    }
    Ok(found)
}
