import type { Site } from '../../../../analysis/sites.ts';
import { intAttribute, intsAttribute, tensorAttribute, type Value } from '../../../../ir/graph.ts';
import { intTensor, scalar } from '../../../../ir/read.ts';
import type { MemoryTensor } from '../../../../ir/tensor.ts';
import type { NodeWriter } from '../node-writer.ts';
import { unsignedZero } from '../weight-store.ts';

/** Codes of activations lie in ± this around their zero point. */
const highestCode = 127;

/** Rows of zeros get this for their largest magnitude: the scale stays a normal number. */
const leastMagnitude = 1e-20;

/** The operator set from which on reductions read their axes as an input. */
const axesAreInputs = 18;

export interface TokenInputFields {
  readonly site: Site;
  readonly input: Value;
  readonly writer: NodeWriter;
  /** Version of the standard operator set. */
  readonly opset: number;
  constant(name: string, tensor: MemoryTensor): Value;
}

const largestOfRows = ({ input, writer, opset, constant }: TokenInputFields): Value => {
  const sizes = writer.add({ op: 'Abs', inputs: [input], name: `${input.name}_abs` });
  const keepdims = intAttribute(1);
  const asInput = opset >= axesAreInputs;
  return writer.add({
    op: 'ReduceMax',
    inputs: asInput ? [sizes, constant('last_axis', intTensor([1], [-1]))] : [sizes],
    attributes: asInput ? { keepdims } : { keepdims, axes: intsAttribute([-1]) },
    name: `${input.name}_max`,
  });
};

/**
 * An activation (…, columns) rounded with a scale for each row (token), in standard operators: uint8 codes around 128,
 * scales (…, 1). MatMulInteger wants one zero point, so that zero is the middle code of every row.
 */
export const writeTokenInput = (fields: TokenInputFields): { codes: Value; scale: Value; zeroPoint: Value } => {
  const { site, input, writer, constant } = fields;
  const { name } = input;
  const largest = writer.add({
    op: 'Max',
    inputs: [largestOfRows(fields), constant('least_magnitude', scalar(leastMagnitude))],
    name: `${name}_size`,
  });
  const scale = writer.add({
    op: 'Mul',
    inputs: [largest, constant('step', scalar(1 / highestCode))],
    name: `${name}_qs`,
  });
  const reshape = (value: Value, shape: Value, suffix: string): Value =>
    writer.add({ op: 'Reshape', inputs: [value, shape], name: `${name}${suffix}` });
  const rows = reshape(input, constant('rows', intTensor([2], [-1, site.columns])), '_rows');
  const scales = reshape(scale, constant('flat', intTensor([1], [-1])), '_scales');
  const count = writer.add({ op: 'Shape', inputs: [scales], name: `${name}_count` });
  const zeros = writer.add({
    op: 'ConstantOfShape',
    inputs: [count],
    attributes: { value: tensorAttribute(intTensor([1], [unsignedZero], 'uint8')) },
    name: `${name}_zeros`,
  });
  const codes = writer.add({
    op: 'QuantizeLinear',
    inputs: [rows, scales, zeros],
    attributes: { axis: intAttribute(0) },
    name: `${name}_q`,
  });
  const shape = writer.add({ op: 'Shape', inputs: [input], name: `${name}_shape` });
  const zeroPoint = constant('unsigned_zero_code', intTensor([], [unsignedZero], 'uint8'));
  return { codes: reshape(codes, shape, '_codes'), scale, zeroPoint };
};
