//! Sums and running means of flat buffers.

use super::CHUNK;
use crate::kernel::dispatch::dispatched;
use crate::kernel::fault::{Fault, expect_length};
use rayon::prelude::*;

/// `total += part`.
pub fn add(total: &mut [f32], part: &[f32]) -> Result<(), Fault> {
    expect_length("the array to add", part.len(), total.len())?;
    total.par_chunks_mut(CHUNK).zip(part.par_chunks(CHUNK)).for_each(|(total, part)| blend(total, part, 1.0, 1.0));
    Ok(())
}

/// Exponential moving average: `average ← decay · average + (1 - decay) · values`.
pub fn follow(average: &mut [f32], values: &[f32], decay: f64) -> Result<(), Fault> {
    expect_length("the array to average", values.len(), average.len())?;
    let (old, new) = (decay as f32, (1.0 - decay) as f32);
    average.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK)).for_each(|(to, from)| blend(to, from, old, new));
    Ok(())
}

dispatched! {
    fn blend(to: &mut [f32], from: &[f32], old: f32, new: f32) {
        for (to, &from) in to.iter_mut().zip(from) {
            *to = *to * old + from * new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_averages_are_those_of_the_definition() {
        let mut values = [1.0, 2.0];
        add(&mut values, &[0.5, -2.0]).unwrap();
        assert_eq!(values, [1.5, 0.0]);
        follow(&mut values, &[0.5, 4.0], 0.75).unwrap();
        assert_eq!(values, [1.25, 1.0]);
        assert!(add(&mut values, &[1.0]).is_err() && follow(&mut values, &[1.0], 0.5).is_err());
    }
}
