//! Seeded random numbers for tests.

/// SplitMix64: small, and the same on every machine.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in 0..1.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in 0..bound.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.bits() % bound as u64) as usize
    }

    /// Roughly normal, mean 0, variance 1.
    pub fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }

    pub fn normals(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.normal() as f32).collect()
    }
}

/// Runs in a pool of its own with this many threads.
pub fn with_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(8 << 20).build().unwrap().install(run)
}

/// A random symmetric positive definite matrix (n, n) with correlated columns, like a Gram matrix of activations.
pub fn positive_definite(n: usize, seed: u64) -> Vec<f64> {
    let mut random = Random::new(seed);
    let samples = n + 8;
    let mut x = vec![0.0; samples * n];
    for row in x.chunks_mut(n) {
        let common = random.normal();
        row.iter_mut().for_each(|value| *value = random.normal() + 0.7 * common);
    }
    let mut matrix = vec![0.0; n * n];
    for row in x.chunks(n) {
        for i in 0..n {
            for j in 0..n {
                matrix[i * n + j] += row[i] * row[j];
            }
        }
    }
    (0..n).for_each(|index| matrix[index * n + index] += 0.05 * samples as f64);
    matrix.iter().map(|value| value / samples as f64).collect()
}
