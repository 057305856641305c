import type { Objective } from '../../src/training/objective.ts';
import { ParameterSet } from '../../src/training/parameters.ts';

/** Half the squared distance from a target, with noise that depends on the step: small, exact, deterministic. */
export class Quadratic implements Objective {
  readonly parameters: ParameterSet;
  readonly target: Float32Array;
  readonly #judges: boolean;
  readonly #broken: number;

  constructor(options: { readonly judges?: boolean; readonly brokenStep?: number } = {}) {
    this.parameters = new ParameterSet([
      { name: 'matrix', shape: [4, 3], group: 'matrix', initial: new Float32Array(12) },
      { name: 'gain', shape: [5], group: 'vector', initial: new Float32Array(5).fill(1) },
    ]);
    this.target = Float32Array.from({ length: 17 }, (_, index) => Math.fround(index / 4 - 2));
    this.#judges = options.judges ?? true;
    this.#broken = options.brokenStep ?? 0;
  }

  get distance(): number {
    return this.target.reduce((sum, target, index) => sum + (this.parameters.values[index]! - target) ** 2 / 2, 0);
  }

  async gradient(step: number) {
    const flat = this.target.map(
      (target, index) => this.parameters.values[index]! - target + 0.01 * Math.fround(((step * 7 + index) % 5) - 2),
    );
    const loss = step === this.#broken ? Number.NaN : this.distance;
    return {
      loss,
      parts: { distance: loss },
      items: 10,
      description: `samples ${step}, ${step + 1} of numbers`,
      gradients: this.parameters.entries.map(({ offset, length }) => flat.slice(offset, offset + length)),
    };
  }

  async validate(): Promise<number | undefined> {
    return this.#judges ? this.distance : undefined;
  }
}
