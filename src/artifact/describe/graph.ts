import { type DataType, isFloat } from '../../ir/data-type.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { elementCount, formatShape } from '../../ir/shape.ts';
import type { Tensor } from '../../ir/tensor.ts';
import { allGraphs, constantOf } from '../../ir/walk.ts';
import type { DescribedValue, GraphDescription, Part, Tally } from './description.ts';
import { partOf } from './parts.ts';
import { countQuantizedActivations, quantizedWeights } from './quantized.ts';

export interface Constant {
  readonly value: Value;
  readonly tensor: Tensor;
}

/** Initializers and outputs of Constant nodes, in bodies and functions too. */
export const constantsOf = (program: Program): Constant[] => {
  const found: Constant[] = [];
  for (const graph of allGraphs(program)) {
    for (const value of graph.initializers) if (value.tensor) found.push({ value, tensor: value.tensor });
    for (const node of graph.nodes) {
      const value = node.outputs[0];
      const tensor = node.op === 'Constant' ? constantOf(value) : undefined;
      if (value && tensor) found.push({ value, tensor });
    }
  }
  return found;
};

/** Sums over tensors by a key, keys in order of first use. */
const tallyBy = <Key extends string>(
  entries: readonly { readonly key: Key; readonly tensor: Pick<Tensor, 'shape' | 'byteLength'> }[],
): Partial<Record<Key, Tally>> => {
  const sums: Partial<Record<Key, Tally>> = {};
  for (const { key, tensor } of entries) {
    const before = sums[key] ?? { tensors: 0, elements: 0, bytes: 0 };
    sums[key] = {
      tensors: before.tensors + 1,
      elements: before.elements + elementCount(tensor.shape),
      bytes: before.bytes + tensor.byteLength,
    };
  }
  return sums;
};

const describeValue = ({ name, type }: Value): DescribedValue => {
  if (!type) return { name, dtype: undefined, shape: '?' };
  return type.kind === 'tensor' || type.kind === 'sparse-tensor'
    ? { name, dtype: type.dtype, shape: formatShape(type.shape) }
    : { name, dtype: type.kind, shape: '' };
};

const countOperators = (program: Program): GraphDescription['operators'] => {
  const counts = new Map<string, number>();
  for (const graph of allGraphs(program))
    for (const { op, domain } of graph.nodes) {
      const operator = domain === '' ? op : `${domain}.${op}`;
      counts.set(operator, (counts.get(operator) ?? 0) + 1);
    }
  return [...counts]
    .map(([operator, count]) => ({ operator, count }))
    .sort((a, b) => b.count - a.count || (a.operator < b.operator ? -1 : 1));
};

/** What a program is made of; no weight is read. */
export const describeGraph = (program: Program): GraphDescription => {
  const constants = constantsOf(program);
  const quantized = quantizedWeights(program);
  const behindQuantized = new Set(quantized.flatMap(({ constants: values }) => values));
  const isParameter = ({ value, tensor }: Constant): boolean =>
    isFloat(tensor.dtype) && tensor.shape.length > 0 && !behindQuantized.has(value);
  const plain = constants.filter(isParameter).reduce((sum, { tensor }) => sum + elementCount(tensor.shape), 0);
  const initializers = new Set([...allGraphs(program)].flatMap((graph) => [...graph.initializers]));
  return {
    irVersion: program.irVersion,
    producer: [program.producerName, program.producerVersion].filter(Boolean).join(' '),
    opsets: [...program.opsets].map(([domain, version]) => ({ domain, version })),
    inputs: program.graph.inputs.filter((value) => !initializers.has(value)).map(describeValue),
    outputs: program.graph.outputs.map(describeValue),
    operators: countOperators(program),
    subgraphs: [...allGraphs(program)].filter((graph) => graph.ownerNode).length,
    functions: program.functions.length,
    parameters: plain + quantized.reduce((sum, { weight }) => sum + weight.elements, 0),
    byPart: tallyBy<Part>(
      constants.map(({ value, tensor }) => ({
        key: isFloat(tensor.dtype) || behindQuantized.has(value) ? partOf(value) : 'other',
        tensor,
      })),
    ),
    quantizedWeights: quantized.map(({ weight }) => weight),
    quantizedActivations: countQuantizedActivations(program),
  };
};

/** Constants by element type, as they are stored. */
export const tallyDataTypes = (tensors: readonly Tensor[]): Partial<Record<DataType, Tally>> =>
  tallyBy(tensors.map((tensor) => ({ key: tensor.dtype, tensor })));
