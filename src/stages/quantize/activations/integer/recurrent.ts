import { siteTensor } from '../../../../analysis/site-weights.ts';
import type { Site } from '../../../../analysis/sites.ts';
import { MemoryTensor } from '../../../../ir/tensor.ts';
import { type IntegerWeight, integerWeight, type Lowering, mainConstant } from './form.ts';

/** Attributes that the integer operator knows. */
const knownAttributes = new Set([
  'activation_alpha',
  'activation_beta',
  'activations',
  'clip',
  'direction',
  'hidden_size',
  'input_forget',
]);

/** True when com.microsoft.DynamicQuantizeLSTM computes what this LSTM does. */
export const hasIntegerForm = (site: Site): boolean =>
  site.op === 'LSTM' &&
  [...site.node.attributes.keys()].every((name) => knownAttributes.has(name) || name === 'layout') &&
  site.node.int('layout', 0) === 0;

/** Zero points of every scale: (directions, gates · hidden) or (directions). */
const zeroPoints = (lowering: Lowering, weight: IntegerWeight, name: string, code: number, dtype: 'int8' | 'uint8') => {
  const shape = weight.scales.tensor?.shape ?? [];
  return mainConstant(
    lowering,
    `${name}_z`,
    new MemoryTensor(dtype, shape, new Uint8Array(weight.scaleNumbers.length).fill(code)),
  );
};

/** The integers of one weight of an LSTM (directions, 4 · hidden, columns), transposed as the operator wants them. */
const recurrentWeight = (site: Site, lowering: Lowering) => {
  const [directions = 1, rows = 1] = siteTensor(site).shape;
  const dtype = lowering.options.weightType;
  const perChannel = lowering.options.granularity === 'channel';
  const weight = integerWeight(site, lowering, {
    dtype,
    arrangement: 'transposed',
    scaleShape: [directions, rows],
    ...(perChannel
      ? {}
      : {
          granularity: 'channel',
          view: { outer: 1, channels: directions, inner: rows * site.columns },
          scaleShape: [directions],
        }),
  });
  return { weight, zero: zeroPoints(lowering, weight, site.weight.name, dtype === 'uint8' ? 128 : 0, dtype) };
};

/**
 * An LSTM whose two weights become integers: com.microsoft.DynamicQuantizeLSTM, which rounds its input and its state
 * at run time. `sites` are the input and the recurrent weight of one node.
 */
export const lowerLstm = (sites: { readonly input: Site; readonly recurrent: Site }, lowering: Lowering): void => {
  const { node } = sites.input;
  const w = recurrentWeight(sites.input, lowering);
  const r = recurrentWeight(sites.recurrent, lowering);
  lowering.program.opsets.set('com.microsoft', lowering.program.opsets.get('com.microsoft') ?? 1);
  node.op = 'DynamicQuantizeLSTM';
  node.domain = 'com.microsoft';
  node.attributes.delete('layout');
  node.setInput(1, w.weight.codes);
  node.setInput(2, r.weight.codes);
  [w.weight.scales, w.zero, r.weight.scales, r.zero].forEach((value, index) => {
    node.setInput(8 + index, value);
  });
};
