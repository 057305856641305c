//! The inputs of a convolution seen as samples: one row per output position, one column per weight of a filter.

use crate::kernel::fault::{Fault, expect_length};
use crate::kernel::float::first_non_finite;
use rayon::prelude::*;

/// Where a convolution's filters look. Two spatial dimensions; a convolution over one has height 1 and kernel height 1.
/// Only `group_channels` channels from `first_channel` are unfolded: those that one group of filters sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patches {
    pub batch: usize,
    pub channels: usize,
    pub height: usize,
    pub width: usize,
    /// Rows and columns of a filter.
    pub kernel: [usize; 2],
    pub strides: [usize; 2],
    pub dilations: [usize; 2],
    /// Zeros around the image: top, left, bottom, right.
    pub pads: [usize; 4],
    pub first_channel: usize,
    pub group_channels: usize,
}

impl Patches {
    /// Rows and columns of output positions.
    pub fn output(&self) -> [usize; 2] {
        let along = |axis: usize, size: usize| {
            let padded = size + self.pads[axis] + self.pads[axis + 2];
            let reach = self.dilations[axis] * (self.kernel[axis] - 1) + 1;
            if padded < reach { 0 } else { (padded - reach) / self.strides[axis] + 1 }
        };
        [along(0, self.height), along(1, self.width)]
    }

    /// Samples: output positions of all images.
    pub fn rows(&self) -> usize {
        let [height, width] = self.output();
        self.batch * height * width
    }

    /// Columns of a sample: (channel of the group, filter row, filter column), as weights lie in ONNX.
    pub fn columns(&self) -> usize {
        self.group_channels * self.kernel[0] * self.kernel[1]
    }

    /// Checks that the description fits the data and has `columns` columns, and that all inputs are finite.
    pub fn check(&self, x: &[f32], columns: usize) -> Result<(), Fault> {
        let positive = [self.kernel, self.strides, self.dilations].iter().flatten().all(|&value| value > 0);
        if !positive || self.first_channel + self.group_channels > self.channels {
            return Err(Fault::internal(format!("a convolution cannot be {self:?}")));
        }
        expect_length("the unfolded filter", self.columns(), columns)?;
        expect_length("the images", x.len(), self.batch * self.channels * self.height * self.width)?;
        match first_non_finite(x) {
            None => Ok(()),
            Some(index) => Err(Fault::numeric(format!("element {index} of the images is {}", x[index]))),
        }
    }

    /// Writes the samples from number `first` on, as many as `target` (rows, columns) has rows.
    pub fn unfold(&self, x: &[f32], first: usize, target: &mut [f32]) {
        let [out_height, out_width] = self.output();
        target.par_chunks_mut(self.columns()).enumerate().for_each(|(index, sample)| {
            let position = first + index;
            let image = position / (out_height * out_width);
            let top = (position / out_width % out_height * self.strides[0]) as isize - self.pads[0] as isize;
            let left = (position % out_width * self.strides[1]) as isize - self.pads[1] as isize;
            let [kernel_height, kernel_width] = self.kernel;
            for (line, values) in sample.chunks_exact_mut(kernel_width).enumerate() {
                let channel = self.first_channel + line / kernel_height;
                let row = top + (line % kernel_height * self.dilations[0]) as isize;
                if row < 0 || row >= self.height as isize {
                    values.fill(0.0);
                    continue;
                }
                let start = ((image * self.channels + channel) * self.height + row as usize) * self.width;
                let source = &x[start..start + self.width];
                for (step, value) in values.iter_mut().enumerate() {
                    let column = left + (step * self.dilations[1]) as isize;
                    *value = if column < 0 { 0.0 } else { source.get(column as usize).copied().unwrap_or(0.0) };
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::accumulator::Gram;
    use super::super::{CHUNK, Precision};
    use super::*;
    use crate::kernel::testing::Random;

    fn example() -> Patches {
        Patches {
            batch: 3,
            channels: 6,
            height: 19,
            width: 23,
            kernel: [3, 2],
            strides: [2, 1],
            dilations: [2, 3],
            pads: [1, 0, 2, 3],
            first_channel: 2,
            group_channels: 3,
        }
    }

    /// The plain twin: every element by its definition.
    fn plain(patches: &Patches, x: &[f32]) -> Vec<f32> {
        let [out_height, out_width] = patches.output();
        let mut samples = vec![];
        for image in 0..patches.batch {
            for y in 0..out_height {
                for z in 0..out_width {
                    for channel in patches.first_channel..patches.first_channel + patches.group_channels {
                        for i in 0..patches.kernel[0] {
                            for j in 0..patches.kernel[1] {
                                let row = (y * patches.strides[0] + i * patches.dilations[0]) as isize
                                    - patches.pads[0] as isize;
                                let column = (z * patches.strides[1] + j * patches.dilations[1]) as isize
                                    - patches.pads[1] as isize;
                                let inside = (0..patches.height as isize).contains(&row)
                                    && (0..patches.width as isize).contains(&column);
                                samples.push(if inside {
                                    let plane = image * patches.channels + channel;
                                    x[(plane * patches.height + row as usize) * patches.width + column as usize]
                                } else {
                                    0.0
                                });
                            }
                        }
                    }
                }
            }
        }
        samples
    }

    #[test]
    fn unfolding_equals_the_definition() {
        let mut random = Random::new(71);
        let line = Patches { height: 1, kernel: [1, 4], pads: [0, 2, 0, 1], strides: [1, 3], ..example() };
        let whole = Patches { first_channel: 0, group_channels: 6, pads: [0; 4], ..example() };
        for patches in [example(), line, whole] {
            let x = random.normals(patches.batch * patches.channels * patches.height * patches.width);
            let mut found = vec![f32::NAN; patches.rows() * patches.columns()];
            patches.check(&x, patches.columns()).unwrap();
            patches.unfold(&x, 0, &mut found);
            assert_eq!(found, plain(&patches, &x));
        }
    }

    #[test]
    fn streamed_patches_give_the_gram_matrix_of_all_of_them() {
        let patches = Patches { batch: 12, ..example() };
        assert!(patches.rows() > 2 * CHUNK);
        let x = Random::new(72).normals(patches.batch * patches.channels * patches.height * patches.width);
        let mut streamed = Gram::new(patches.columns());
        streamed.add_patches(&x, &patches, Precision::Single).unwrap();
        let mut whole = Gram::new(patches.columns());
        whole.add(&plain(&patches, &x), patches.rows(), Precision::Single).unwrap();
        assert!(streamed == whole);
    }

    #[test]
    fn a_filter_larger_than_the_image_sees_nothing() {
        let patches = Patches { kernel: [30, 30], ..example() };
        assert_eq!(patches.rows(), 0);
    }

    #[test]
    fn descriptions_that_do_not_fit_are_refused() {
        let patches = example();
        let x = vec![0.0; patches.batch * patches.channels * patches.height * patches.width];
        assert!(patches.check(&x[1..], patches.columns()).is_err());
        assert!(patches.check(&x, 4).is_err());
        assert!(Patches { strides: [0, 1], ..patches }.check(&x, patches.columns()).is_err());
        assert!(Patches { first_channel: 4, ..patches }.check(&x, patches.columns()).is_err());
    }
}
