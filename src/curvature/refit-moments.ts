import type { Site } from '../analysis/sites.ts';
import type { NumericArray } from '../calibration/dataset.ts';
import { picturesOf, plainConvolution } from '../calibration/statistics/gram.ts';
import { unfoldPatches } from '../calibration/statistics/unfold.ts';
import { CompressError } from '../errors.ts';
import { floatsOfArray } from '../execution/arrays.ts';
import { elementCount } from '../ir/shape.ts';
import { CrossGram, GramAccumulator } from '../kernels/index.ts';
import type { RefitFold } from './refit.ts';

/** Moments of one convolution group, or of the whole product. */
interface RefitPart extends RefitFold {
  /** The same of every second run, and of the others; undefined where there was only one run. */
  readonly folds: readonly [RefitFold, RefitFold] | undefined;
  readonly rows: number;
  readonly columns: number;
  /** Where the part begins in the site's matrix, in elements. */
  readonly offset: number;
}

/** Rows of a convolution's output: (positions, rows of one group), by picture, then place. */
const positionsFirst = (values: Float32Array, shape: readonly number[], first: number, count: number): Float32Array => {
  const [batch = 0, channels = 0, ...spatial] = shape;
  const places = elementCount(spatial);
  const turned = new Float32Array(batch * places * count);
  for (let picture = 0; picture < batch; picture++)
    for (let row = 0; row < count; row++) {
      const from = (picture * channels + first + row) * places;
      for (let place = 0; place < places; place++)
        turned[(picture * places + place) * count + row] = values[from + place]!;
    }
  return turned;
};

/** Sums of e zᵀ and z zᵀ of one site, where e is what a value lacks of the original's and z the site's input. */
export class RefitMoments {
  readonly #site: Site;
  readonly #gains: Float64Array | undefined;
  /** By fold, then by convolution group. */
  readonly #inputs: readonly (readonly GramAccumulator[])[];
  readonly #crosses: readonly (readonly CrossGram[])[];
  #runs = 0;
  /** Σ ‖e‖², at the site's output. */
  energy = 0;
  /** Σ ‖original‖², divided by the gains likewise. */
  scale = 0;

  /** @param gains what each output is multiplied by before it is compared; e is divided by it. */
  constructor(site: Site, gains: Float64Array | undefined) {
    this.#site = site;
    this.#gains = gains;
    const { rows, columns, groups } = site;
    const perGroup = <T>(make: () => T): T[] => Array.from({ length: groups }, make);
    this.#inputs = [0, 1].map(() => perGroup(() => new GramAccumulator(columns)));
    this.#crosses = [0, 1].map(() => perGroup(() => new CrossGram(rows / groups, columns)));
  }

  /** Adds one run: the value in the original and now, and the site's present input. */
  async add(original: NumericArray, present: NumericArray, input: NumericArray, signal: AbortSignal): Promise<void> {
    const site = this.#site;
    if (original.shape.join() !== present.shape.join())
      throw new CompressError({
        code: 'mismatch',
        message: `the stream is [${present.shape.join(', ')}] now and was [${original.shape.join(', ')}]`,
        where: { site: site.name },
        hint: 'A model whose residual stream was made narrower cannot be corrected against the original.',
      });
    const convolution = site.op === 'Conv';
    const error = this.#missing(
      floatsOfArray(original),
      floatsOfArray(present),
      convolution ? original.shape : undefined,
    );
    const ownRows = site.rows / site.groups;
    const fold = this.#runs++ % 2;
    const [inputs, crosses] = [this.#inputs[fold]!, this.#crosses[fold]!];
    if (!convolution) {
      const positions = error.length / site.rows;
      const z = floatsOfArray(input);
      await inputs[0]!.add(z, positions, { signal });
      await crosses[0]!.add(error, z, positions, { signal });
      return;
    }
    const { pictures, geometry } = plainConvolution(site, picturesOf(input, site));
    for (let group = 0; group < site.groups; group++) {
      const { data, positions } = unfoldPatches(pictures, { geometry, groups: site.groups, group });
      await inputs[group]!.add(data, positions, { signal });
      const own = positionsFirst(error, original.shape, group * ownRows, ownRows);
      await crosses[group]!.add(own, data, positions, { signal });
    }
  }

  /** The sums of each convolution group; one part otherwise. */
  parts(): RefitPart[] {
    const { rows, columns, groups } = this.#site;
    return Array.from({ length: groups }, (_, group) => {
      const [even, odd] = [0, 1].map(
        (fold): RefitFold => ({
          cross: this.#crosses[fold]![group]!.matrix(),
          inputs: this.#inputs[fold]![group]!.matrix(),
        }),
      ) as [RefitFold, RefitFold];
      return {
        cross: even.cross.map((value, index) => value + odd.cross[index]!),
        inputs: even.inputs.map((value, index) => value + odd.inputs[index]!),
        folds: this.#runs > 1 ? [even, odd] : undefined,
        rows: rows / groups,
        columns,
        offset: (group * rows * columns) / groups,
      };
    });
  }

  release(): void {
    for (const gram of [...this.#inputs, ...this.#crosses].flat()) gram.release();
  }

  /** (original − present) ∕ gains. @param shape of a convolution's output; undefined where rows lie last. */
  #missing(original: Float32Array, present: Float32Array, shape: readonly number[] | undefined): Float32Array {
    const { rows } = this.#site;
    const places = shape ? elementCount(shape.slice(2)) : 1;
    const gains = this.#gains;
    const error = new Float32Array(original.length);
    for (let index = 0; index < error.length; index++) {
      const gain = gains ? gains[Math.floor(index / places) % rows]! : 1;
      if (gain === 0) continue;
      error[index] = (original[index]! - present[index]!) / gain;
      this.energy += error[index]! ** 2;
      this.scale += (original[index]! / gain) ** 2;
    }
    return error;
  }
}
