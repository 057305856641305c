//! eˣ in operations that vectorise and that give the same bits on every machine.

/// eˣ, relative error below 1e-14 for -708 < x ≤ 0; 0 below that. x must not be above 709.
///
/// x = k ln 2 + r with |r| ≤ ln 2 / 2; e^r is its Taylor polynomial of degree 13.
#[inline(always)]
pub fn exponential(x: f64) -> f64 {
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    // Adding and subtracting 1.5 · 2^52 rounds to a whole number, and leaves it in the low bits of the sum.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    let clamped = if x > -708.0 { x } else { -708.0 };
    let shifted = clamped * std::f64::consts::LOG2_E + ROUND;
    let whole = shifted - ROUND;
    let r = (clamped - whole * LN_2_HIGH) - whole * LN_2_LOW;
    let mut sum = 1.0 / 6_227_020_800.0;
    for coefficient in COEFFICIENTS {
        sum = sum * r + coefficient;
    }
    let power = f64::from_bits((shifted.to_bits() << 52).wrapping_add(0x3ff0_0000_0000_0000));
    if x > -708.0 { sum * power } else { 0.0 }
}

/// 1/12!, 1/11!, …, 1/1!, 1.
const COEFFICIENTS: [f64; 13] = [
    1.0 / 479_001_600.0,
    1.0 / 39_916_800.0,
    1.0 / 3_628_800.0,
    1.0 / 362_880.0,
    1.0 / 40_320.0,
    1.0 / 5_040.0,
    1.0 / 720.0,
    1.0 / 120.0,
    1.0 / 24.0,
    1.0 / 6.0,
    0.5,
    1.0,
    1.0,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::testing::Random;

    #[test]
    fn the_fast_exponential_agrees_with_the_library() {
        let mut random = Random::new(141);
        for _ in 0..200_000 {
            let x = -707.0 * random.unit() * random.unit();
            assert!((exponential(x) / x.exp() - 1.0).abs() < 1e-14, "{x}");
        }
        assert_eq!(exponential(0.0), 1.0);
        assert_eq!(exponential(-1000.0), 0.0);
    }
}
