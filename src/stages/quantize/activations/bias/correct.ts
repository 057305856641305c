import { siteTensor } from '../../../../analysis/site-weights.ts';
import { findSites, type Site } from '../../../../analysis/sites.ts';
import type { NumericArray } from '../../../../calibration/dataset.ts';
import { CompressError } from '../../../../errors.ts';
import { floatsOfArray } from '../../../../execution/arrays.ts';
import { observeProgram } from '../../../../execution/observe.ts';
import { cloneProgram } from '../../../../ir/clone.ts';
import { type NameSource, nameSource } from '../../../../ir/edit/names.ts';
import { intAttribute, type Program, type Value } from '../../../../ir/graph.ts';
import { floatTensor, intTensor, readFloats } from '../../../../ir/read.ts';
import { constantOf } from '../../../../ir/walk.ts';
import type { Finding } from '../../../../recipe/events.ts';
import type { StageContext } from '../../../stage.ts';
import { NodeWriter } from '../node-writer.ts';
import { decodeWeight } from '../weight-codes.ts';
import { encodeSite, rowView, type WeightRequest } from '../weight-store.ts';

/** Products of the main graph that add a constant bias of one number a row, or could. */
const canCorrect = (site: Site): boolean => {
  const { node, rows } = site;
  if (site.graph.ownerNode || node.inputs[site.weightIndex] !== site.weight) return false;
  const scaled = site.op === 'Gemm' && (node.float('alpha', 1) !== 1 || node.float('beta', 1) !== 1);
  if ((site.op !== 'Conv' && site.op !== 'Gemm') || scaled) return false;
  const bias = constantOf(node.inputs[2]);
  return !node.inputs[2] || (bias?.dtype === 'float32' && bias.shape.join() === `${rows}`);
};

/** W − Ŵ in the layout of the weight. */
const roundingOf = (site: Site, request: WeightRequest): Float32Array => {
  const tensor = siteTensor(site);
  const rounded = decodeWeight(encodeSite(site, request), rowView(site, tensor.shape));
  return readFloats(tensor).map((weight, index) => weight - rounded[index]!);
};

/** Sum over all positions of one run and their number, in the graph. */
interface Probe {
  readonly sum: Value;
  readonly size: Value;
}

/** Computes (W − Ŵ) x beside a product, summed over everything but its rows. */
const insertProbe = (site: Site, request: WeightRequest, names: NameSource): Probe => {
  const { node, graph } = site;
  const next = graph.nodes[graph.nodes.indexOf(node) + 1];
  const writer = new NodeWriter(names, graph, next);
  const { shape } = siteTensor(site);
  const delta = graph.addInitializer(
    names.fresh(`${site.weight.name}_delta`),
    floatTensor(shape, roundingOf(site, request)),
  );
  const moved = writer.add({
    op: node.op,
    inputs: [node.inputs[0], delta],
    attributes: Object.fromEntries(node.attributes),
    name: `${site.output.name}_moved`,
  });
  const rank = site.op === 'Conv' ? shape.length : 2;
  const others = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== 1);
  const axes = graph.addInitializer(names.fresh('other_axes'), intTensor([others.length], others));
  const attributes = { keepdims: intAttribute(0) };
  return {
    sum: writer.add({
      op: 'ReduceSum',
      inputs: [moved, axes],
      attributes,
      name: `${moved.name}_sum`,
      dtype: 'float32',
    }),
    size: writer.add({ op: 'Size', inputs: [moved], name: `${moved.name}_size`, dtype: 'int64' }),
  };
};

/** Σ over runs of a probe. */
class MeanShift {
  readonly #sums: Float64Array;
  #positions = 0;

  constructor(rows: number) {
    this.#sums = new Float64Array(rows);
  }

  readonly sum = {
    observe: (array: NumericArray): void => {
      for (const [row, value] of floatsOfArray(array).entries()) this.#sums[row]! += value;
    },
  };

  readonly size = {
    observe: (array: NumericArray): void => {
      this.#positions += Number(array.data[0]) / this.#sums.length;
    },
  };

  mean(row: number): number {
    return this.#positions === 0 ? 0 : this.#sums[row]! / this.#positions;
  }
}

/** Adds the mean shift to the bias of a product; a product without one gets one. */
const addToBias = (site: Site, shift: MeanShift, names: NameSource): void => {
  const { node, graph, rows } = site;
  const old = constantOf(node.inputs[2]);
  const numbers = old ? readFloats(old) : new Float32Array(rows);
  const corrected = numbers.map((number, row) => number + shift.mean(row));
  const name = names.fresh(`${node.inputs[2]?.name ?? site.weight.name}_corrected`);
  node.setInput(2, graph.addInitializer(name, floatTensor([rows], corrected)));
};

/**
 * Bias correction (Nagel et al. 2019, section 4.2): rounding a weight moves the mean of its outputs by E[(Ŵ − W) x]; the
 * bias takes it back, exactly over the calibration data, positions at borders included. The program is changed.
 * @param sites products that will be rounded, of this program.
 * @throws CompressError 'data' without calibration data.
 */
export const correctBiases = async (
  program: Program,
  sites: readonly Site[],
  request: Omit<WeightRequest, 'home'>,
  context: StageContext,
): Promise<Finding[]> => {
  const { calibration: dataset, engine, scratch, emit, signal } = context;
  const wanted = sites.filter(canCorrect);
  if (wanted.length === 0) return [];
  if (!dataset || dataset.length === 0)
    throw new CompressError({
      code: 'data',
      message: 'bias correction needs calibration data',
      hint: 'Name a dataset under data.calibration.',
    });
  const copy = cloneProgram(program);
  const probed = new Set(wanted.map(({ name }) => name));
  const names = nameSource(copy.graph);
  const shifts = new Map(wanted.map((site) => [site.name, new MeanShift(site.rows)]));
  const observations = findSites(copy)
    .filter(({ name }) => probed.has(name))
    .flatMap((site) => {
      const { sum, size } = insertProbe(site, { ...request, home: copy.graph }, names);
      const shift = shifts.get(site.name)!;
      return [
        { value: size, observer: shift.size },
        { value: sum, observer: shift.sum },
      ];
    });
  await observeProgram({ program: copy, dataset, engine, observations, task: 'bias', scratch, emit, signal });
  const own = nameSource(program.graph);
  for (const site of wanted) addToBias(site, shifts.get(site.name)!, own);
  return [
    { kind: 'fact', text: `corrected the biases of ${wanted.length} products for the rounding of their weights` },
  ];
};
