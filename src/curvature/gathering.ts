import type { Site } from '../analysis/sites.ts';
import type { BlockGradients } from '../autodiff/blockwise/block-backward.ts';
import type { NumericArray } from '../calibration/dataset.ts';
import { siteGrams } from '../calibration/statistics/gram.ts';
import { internalError } from '../errors.ts';
import { floatsOfArray } from '../execution/arrays.ts';
import { groupByValue, type Observer } from '../execution/observe.ts';
import type { Value } from '../ir/graph.ts';
import { elementCount } from '../ir/shape.ts';
import { GramAccumulator, sumOfSquares } from '../kernels/index.ts';
import { DiagonalSum, FullSum, type MomentSum } from './moment-sums.ts';
import { mostFullRows } from './moments.ts';
import type { CurvatureWriter, MomentFacts } from './stored.ts';

/** What is summed up in the block that is being visited. */
interface OpenBlock {
  readonly index: number;
  readonly values: ReadonlyMap<Value, readonly Observer[]>;
  readonly gradients: ReadonlyMap<Value, Observer>;
  /** Writes the sums and frees them. */
  close(): void;
}

/** Sums of what the walk backward shows. Those of a block are written and freed when the next block begins. */
export class Gathering {
  readonly #sites: readonly Site[];
  readonly #writer: CurvatureWriter;
  readonly #inputs = new Map<Site, readonly MomentFacts[]>();
  readonly #gradients = new Map<Value, MomentFacts>();
  /** Σ over runs of the squared length of the gradient of each traced weight. */
  readonly #traces = new Map<Value, number>();
  #open: OpenBlock | undefined;

  constructor(sites: readonly Site[], writer: CurvatureWriter) {
    this.#sites = sites;
    this.#writer = writer;
  }

  async see({ block, run, gradients, values }: BlockGradients): Promise<void> {
    if (this.#open?.index !== block.index) {
      this.#open?.close();
      this.#open = this.#begin(block.index, values, gradients);
    }
    for (const [value, observers] of this.#open.values)
      for (const observer of observers) await observer.observe(values.get(value)!, run);
    for (const [value, observer] of this.#open.gradients) await observer.observe(gradients.get(value)!, run);
    for (const [value, array] of gradients)
      if (value.tensor || value.producer?.op === 'Constant')
        this.#traces.set(value, (this.#traces.get(value) ?? 0) + sumOfSquares([floatsOfArray(array)]));
  }

  /** Writes the last block's sums and what is known of every site. */
  finish(items: number): void {
    this.#open?.close();
    for (const site of this.#sites) {
      const inputs = this.#inputs.get(site);
      if (!inputs) throw internalError('the inputs of a site were never seen', { site: site.name });
      const { name, rows, columns, output, weight } = site;
      const gradients = this.#gradients.get(output) ?? null;
      const trace = (this.#traces.get(weight) ?? 0) / Math.max(1, items);
      this.#writer.site({ site: name, rows, columns, inputs, gradients, positions: inputs[0]!.count, items, trace });
    }
  }

  #begin(index: number, shown: ReadonlyMap<Value, unknown>, differentiated: ReadonlyMap<Value, unknown>): OpenBlock {
    const sites = this.#sites.filter((site) => shown.has(site.input));
    const inputs = siteGrams(sites);
    const sums = new Map<Value, { readonly sum: MomentSum; readonly site: Site }>();
    for (const site of this.#sites)
      if (differentiated.has(site.output) && !sums.has(site.output))
        sums.set(site.output, { sum: gradientSum(site.rows), site });
    return {
      index,
      values: groupByValue(inputs.observations),
      gradients: new Map(
        [...sums].map(([value, { sum, site }]): [Value, Observer] => [
          value,
          { observe: (array) => addGradients(site, sum, array) },
        ]),
      ),
      close: () => {
        const written = new Map<GramAccumulator, MomentFacts>();
        for (const site of sites)
          this.#inputs.set(
            site,
            inputs.gramsOf(site)!.map((gram, group) => {
              const facts =
                written.get(gram) ?? this.#writer.moment(`inputs ${group} of ${site.name}`, new FullSum(gram));
              written.set(gram, facts);
              return facts;
            }),
          );
        for (const [value, { sum, site }] of sums)
          this.#gradients.set(value, this.#writer.moment(`gradients of ${site.name}`, sum));
      },
    };
  }
}

/** Larger weights are not traced: the gradient of each would be fetched for every sample. */
const mostTracedElements = 2 ** 24;

/** Weights whose own gradients are looked at, each once. */
export const tracedWeights = (sites: readonly Site[]): Value[] => [
  ...new Set(sites.filter(({ rows, columns }) => rows * columns <= mostTracedElements).map(({ weight }) => weight)),
];

const gradientSum = (rows: number): MomentSum =>
  rows > mostFullRows ? new DiagonalSum(new Float64Array(rows)) : new FullSum(new GramAccumulator(rows));

/** Rows of a product are positions; those of a convolution are pictures over channels. */
const addGradients = async (site: Site, sum: MomentSum, array: NumericArray): Promise<void> => {
  const floats = floatsOfArray(array);
  if (site.op !== 'Conv' && site.op !== 'ConvTranspose') return sum.add(floats, elementCount(array.shape) / site.rows);
  const [batch = 0, , ...spatial] = array.shape;
  return sum.addChannels(floats, batch, elementCount(spatial));
};
