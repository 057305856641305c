/**
 * Seeded pseudo-random numbers: xoshiro128** (Blackman, Vigna 2018) seeded by SplitMix32 over the seed and a label,
 * so that independent parts of a run draw from independent streams of the one recipe seed. The same on every platform:
 * normal numbers are sums of uniforms, which need no transcendental functions.
 */
export class Random {
  readonly #state: Uint32Array;

  /** @param label names the stream: the same seed with another label gives unrelated numbers. */
  constructor(seed: number, label = '') {
    let hash = seed >>> 0;
    for (let index = 0; index < label.length; index++)
      hash = Math.imul(hash ^ label.charCodeAt(index), 0x01000193) >>> 0;
    const next = (): number => {
      hash = (hash + 0x9e3779b9) >>> 0;
      let z = hash;
      z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
      z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
      return (z ^ (z >>> 15)) >>> 0;
    };
    this.#state = Uint32Array.of(next(), next(), next(), next() | 1);
  }

  /** An integer in 0 .. 2^32 - 1. */
  uint32(): number {
    const [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = this.#state;
    const product = Math.imul(s1, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9) >>> 0;
    const t2 = s2 ^ s0;
    const t3 = s3 ^ s1;
    this.#state[1] = s1 ^ t2;
    this.#state[0] = s0 ^ t3;
    this.#state[2] = t2 ^ (s1 << 9);
    this.#state[3] = (t3 << 11) | (t3 >>> 21);
    return result;
  }

  /** A number in [0, 1). */
  float(): number {
    return this.uint32() / 2 ** 32;
  }

  /** An integer in 0 .. limit - 1. */
  integer(limit: number): number {
    return Math.floor(this.float() * limit);
  }

  /** Approximately standard normal (Irwin-Hall: the sum of twelve uniforms less six; support ±6). */
  normal(): number {
    let sum = -6;
    for (let index = 0; index < 12; index++) sum += this.float();
    return sum;
  }

  /** `size` approximately normal numbers of the given standard deviation. */
  normals(size: number, deviation = 1): Float32Array {
    return Float32Array.from({ length: size }, () => this.normal() * deviation);
  }

  /** `size` signs, each -1 or 1 with equal chances. */
  signs(size: number): Float32Array {
    const signs = new Float32Array(size);
    for (let index = 0, bits = 0; index < size; index++, bits >>>= 1) {
      if (index % 32 === 0) bits = this.uint32();
      signs[index] = bits & 1 ? 1 : -1;
    }
    return signs;
  }

  /** The numbers 0 .. size - 1 in random order (Fisher-Yates). */
  permutation(size: number): Int32Array {
    const order = Int32Array.from({ length: size }, (_, index) => index);
    for (let index = size - 1; index > 0; index--) {
      const other = this.integer(index + 1);
      const held = order[index]!;
      order[index] = order[other]!;
      order[other] = held;
    }
    return order;
  }
}
