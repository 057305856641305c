import { type PackedFacts, PackedTensor } from '../../ir/packed-tensor.ts';
import { type FakeGrid, fakeCodes, fakePullBack, fakeRound, packRows } from '../../kernels/index.ts';
import type { ParameterSpec } from '../parameters.ts';
import type { LeafArrangement, TrainedWeight } from './weight.ts';

/** 'learned': scales get gradients as in LSQ (Esser et al. 2020). 'fixed': only the integers change. */
export type ScaleTraining = 'learned' | 'fixed';

const arrangementOf = ({ layout, shape }: PackedFacts): LeafArrangement =>
  layout === 'rows-first' ? { kind: 'whole' } : { kind: 'transposed', shape };

/**
 * A quantized weight in quantization-aware training: a float shadow that is rounded to its grid in every forward pass,
 * straight-through gradients, zero points fixed. The result is made of the integers that were trained.
 *
 * Scales are trained as factors near one (`scale = initial · factor`), so that a step of the optimizer is relative to each
 * scale's size; their gradients are divided by √(weights in a group ·
 * greatest code) (LSQ, section 2.2).
 */
export const quantizedWeight = (name: string, packed: PackedTensor, scaleTraining: ScaleTraining): TrainedWeight => {
  const { facts } = packed;
  const { rows, columns, groupSize, bits, zeroPoints, layout, shape } = facts;
  const groups = packed.groups;
  const rounded = new Float32Array(rows * columns);
  const scales = Float32Array.from(facts.scales);
  const scaleGradients = new Float32Array(rows * groups);
  const damping = 1 / Math.sqrt(groupSize * (2 ** bits - 1));
  const grid: FakeGrid = { rows, columns, groupSize, bits, scales, zeroPoints };
  const setScales = (factors: Float32Array | undefined): void => {
    if (factors)
      for (let index = 0; index < scales.length; index++) scales[index] = facts.scales[index]! * factors[index]!;
  };
  const shadow: ParameterSpec = { name, shape: [rows, columns], group: 'matrix', initial: packed.matrix() };
  const factors: ParameterSpec = {
    name: `${name}#scales`,
    shape: [rows, groups],
    group: 'scale',
    initial: new Float32Array(rows * groups).fill(1),
  };
  return {
    name,
    parameters: scaleTraining === 'learned' ? [shadow, factors] : [shadow],
    leafShape: layout === 'rows-first' ? shape : [rows, columns],
    arrangement: arrangementOf(facts),
    leaf: async ([weights, factors]) => {
      setScales(factors);
      fakeRound(weights!, grid, rounded);
      return rounded;
    },
    pullBack: async ([weights, factors], gradient) => {
      setScales(factors);
      fakePullBack(weights!, grid, gradient, scaleGradients);
      if (!factors) return [gradient];
      return [gradient, scaleGradients.map((sum, index) => sum * facts.scales[index]! * damping)];
    },
    tensor: async ([weights, factors]) => {
      setScales(factors);
      const codes = packRows({ codes: fakeCodes(weights!, grid), rows, columns, bits: facts.storedBits });
      return new PackedTensor({ ...facts, codes, scales: scales.slice(), method: `${facts.method}+qad` });
    },
  };
};
