//! |x|^p in single precision, in operations that vectorise.

/// Which power of the error a search minimises.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Norm {
    Absolute,
    Square,
    /// Any positive exponent.
    Power(f32),
}

impl From<f64> for Norm {
    fn from(exponent: f64) -> Self {
        match exponent {
            1.0 => Norm::Absolute,
            2.0 => Norm::Square,
            _ => Norm::Power(exponent as f32),
        }
    }
}

/// `x` to the power `exponent` for x ≥ 0, relative error below 2e-5 for results in the normal range; 0 for x below it.
/// The base-2 logarithm is the inverse hyperbolic tangent series of the mantissa, the base-2 exponential a polynomial
/// on [-1/2, 1/2].
#[inline(always)]
pub fn power(x: f32, exponent: f32) -> f32 {
    const ROOT_HALF_BITS: u32 = 0x3f35_04f3;
    let bits = x.to_bits();
    let shifted = bits.wrapping_sub(ROOT_HALF_BITS);
    let octave = (shifted as i32) >> 23;
    let mantissa = f32::from_bits((shifted & 0x007f_ffff) + ROOT_HALF_BITS);
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let s2 = s * s;
    let series = ((s2 * (1.0 / 9.0) + 1.0 / 7.0) * s2 + 1.0 / 5.0) * s2 + 1.0 / 3.0;
    let log2_mantissa = (series * s2 + 1.0) * s * 2.885_39;
    let y = exponent * (octave as f32) + exponent * log2_mantissa;
    let y = if y > -126.0 { y } else { -126.0 };
    let y = if y < 127.0 { y } else { 127.0 };
    let whole = y.round_ties_even();
    let f = y - whole;
    let p = 1.540_353e-4 * f + 1.333_355_8e-3;
    let p = ((((p * f + 9.618_129e-3) * f + 5.550_411e-2) * f + 0.240_226_5) * f + std::f32::consts::LN_2) * f + 1.0;
    // SAFETY: `whole` is within -126..=127, so the conversion is exact and the shifted exponent is that of a float.
    let scale = f32::from_bits(((unsafe { whole.to_int_unchecked::<i32>() } + 127) << 23) as u32);
    if x >= f32::MIN_POSITIVE { p * scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::Random;

    #[test]
    fn the_fast_power_agrees_with_the_library() {
        let mut random = Random::new(3);
        for _ in 0..200_000 {
            let x = 2f64.powf(random.unit() * 40.0 - 30.0) as f32;
            let exponent = 0.5 + 3.0 * random.unit() as f32;
            let expected = f64::from(x).powf(f64::from(exponent));
            if expected > 1e-36 {
                let error = (f64::from(power(x, exponent)) / expected - 1.0).abs();
                assert!(error < 2e-5, "{x} ^ {exponent}: {error}");
            }
        }
        assert_eq!(power(0.0, 2.4), 0.0);
        assert_eq!(power(1.0, 2.4), 1.0);
    }
}
