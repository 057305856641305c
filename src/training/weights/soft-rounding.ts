import { PackedTensor } from '../../ir/packed-tensor.ts';
import { packRows } from '../../kernels/index.ts';
import type { ParameterSpec } from '../parameters.ts';
import { arrangementOf, type GridTraining, leafShapeOf, scaleFactors } from './grid.ts';
import type { TrainedWeight } from './weight.ts';

/** How far a training has come, 0 to 1; whoever trains keeps it up to date. */
export interface Progress {
  share: number;
}

export interface SoftRoundingOptions {
  /** Scales learned as factors of what they were; zero points stay. */
  readonly scales: GridTraining;
  readonly progress: Progress;
  readonly method: string;
}

/** Ends that the sigmoid is stretched to, so that it reaches 0 and 1 (Louizos et al. 2018; ζ and γ of AdaRound). */
const [upper, lower] = [1.1, -0.1];
/** Nothing draws roundings to a side for this share of the training. */
const free = 0.2;
/** The exponent of the regulariser falls from the first to the second (AdaRound, section 3.2 and appendix). */
const [steep, flat] = [20, 2];
/** What the regulariser counts beside the gradient of the loss grows to this, evenly in its logarithm: nothing stays between. */
const strongest = 100;

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** The rectified sigmoid h(V): 0 is rounded down, 1 is rounded up. */
const softOf = (v: number): number => Math.min(1, Math.max(0, sigmoid(v) * (upper - lower) + lower));

/** V with h(V) = share. */
const inverseOf = (share: number): number => -Math.log((upper - lower) / (share - lower) - 1);

const clamped = (value: number, greatest: number): number => Math.min(greatest, Math.max(0, value));

/** β and the weight of the regulariser, by the share of the training that is done; undefined while there is none. */
const regulariserAt = (share: number): { readonly exponent: number; readonly pull: number } | undefined => {
  if (share <= free) return undefined;
  const done = (share - free) / (1 - free);
  return { exponent: flat + 0.5 * (steep - flat) * (1 + Math.cos(Math.PI * done)), pull: strongest ** done };
};

/** The derivative by h of the regulariser 1 - |2h - 1|^β, times its weight over 2. */
const drawOf = (towards: number, { exponent, pull }: { readonly exponent: number; readonly pull: number }): number =>
  -pull * exponent * Math.sign(towards) * Math.abs(towards) ** (exponent - 1);

/**
 * A quantized weight whose roundings up or down are trained: s·(clip(⌊W/s⌋ + z + h(V)) - z) with the rectified sigmoid h,
 * which a regulariser 1 - |2h - 1|^β draws to 0 or 1 as β falls (Nagel et al. 2020, AdaRound, section 3.2). The
 * regulariser is weighed by the size of the loss's own gradients, so that it needs no number that depends on the loss.
 * Judged and stored with every weight wholly on the side it is nearer to.
 * @param shadow W (rows, columns), rounded by the grid to the present integers.
 */
export const softRoundingWeight = (
  name: string,
  packed: PackedTensor,
  shadow: Float32Array,
  options: SoftRoundingOptions,
): TrainedWeight => {
  const { rows, columns, groupSize, bits, scales, zeroPoints } = packed.facts;
  const { groups } = packed;
  const greatest = 2 ** bits - 1;
  const learns = options.scales === 'learned';
  const floors = new Int16Array(rows * columns);
  const initial = new Float32Array(rows * columns);
  const groupOf = (index: number): number =>
    Math.floor(index / columns) * groups + Math.floor((index % columns) / groupSize);
  const zeroOf = (group: number): number => zeroPoints?.[group] ?? 2 ** (bits - 1);
  for (let index = 0; index < floors.length; index++) {
    const group = groupOf(index);
    const place = scales[group] === 0 ? zeroOf(group) : shadow[index]! / scales[group]! + zeroOf(group);
    floors[index] = Math.floor(place);
    initial[index] = inverseOf(place - Math.floor(place));
  }
  const scaleOf = (group: number, factors: Float32Array | undefined): number =>
    scales[group]! * (factors?.[group] ?? 1);
  const fill = (values: readonly Float32Array[], side: (v: number) => number, filled: Float32Array): Float32Array => {
    const [sides, factors] = values;
    for (let index = 0; index < filled.length; index++) {
      const group = groupOf(index);
      const code = clamped(floors[index]! + side(sides![index]!), greatest);
      filled[index] = (code - zeroOf(group)) * scaleOf(group, learns ? factors : undefined);
    }
    return filled;
  };
  const hard = (v: number): number => (softOf(v) >= 0.5 ? 1 : 0);
  const leaf = new Float32Array(rows * columns);
  const damping = 1 / Math.sqrt(groupSize * greatest);
  const sides: ParameterSpec = {
    name: `${name}#sides`,
    shape: [rows, columns],
    group: 'matrix',
    initial,
    // Relative steps are shares of the way from one side to the other.
    unit: inverseOf(1) - inverseOf(0),
  };
  const factors = scaleFactors(name, packed);
  return {
    name,
    parameters: learns ? [sides, factors] : [sides],
    leafShape: leafShapeOf(packed),
    arrangement: arrangementOf(packed),
    leaf: async (values) => fill(values, softOf, leaf),
    judgedLeaf: async (values) => fill(values, hard, leaf),
    pullBack: async (values, gradient) => {
      const [own, ownFactors] = values;
      const ofScales = new Float32Array(learns ? rows * groups : 0);
      let squares = 0;
      for (let index = 0; index < gradient.length; index++) {
        const group = groupOf(index);
        const place = floors[index]! + softOf(own![index]!);
        if (learns)
          ofScales[group]! += gradient[index]! * (clamped(place, greatest) - zeroOf(group)) * scales[group]! * damping;
        const inside = place > 0 && place < greatest;
        gradient[index] = inside ? gradient[index]! * scaleOf(group, learns ? ownFactors : undefined) : 0;
        squares += gradient[index]! ** 2;
      }
      const regulariser = regulariserAt(options.progress.share);
      const size = Math.sqrt(squares / gradient.length);
      for (let index = 0; index < gradient.length; index++) {
        const s = sigmoid(own![index]!);
        const stretched = s * (upper - lower) + lower;
        const slope = stretched > 0 && stretched < 1 ? s * (1 - s) * (upper - lower) : 0;
        const towards = 2 * stretched - 1;
        gradient[index] = (gradient[index]! + (regulariser ? size * drawOf(towards, regulariser) : 0)) * slope;
      }
      return learns ? [gradient, ofScales] : [gradient];
    },
    tensor: async ([own, ownFactors]) => {
      const codes = Uint8Array.from(floors, (floor, index) => clamped(floor + hard(own![index]!), greatest));
      return new PackedTensor({
        ...packed.facts,
        codes: packRows({ codes, rows, columns, bits: packed.facts.storedBits }),
        scales: learns ? scales.map((scale, group) => scale * ownFactors![group]!) : scales.slice(),
        method: `${packed.facts.method}+${options.method}`,
      });
    },
  };
};
