import { bitsOf } from '../ir/data-type.ts';
import type { Node, Program, Value } from '../ir/graph.ts';
import { type Role, roleKey } from '../ir/model.ts';
import { PackedTensor } from '../ir/packed-tensor.ts';
import { elementCount } from '../ir/shape.ts';
import { StringTensor, type Tensor } from '../ir/tensor.ts';
import { allGraphs, constantOf } from '../ir/walk.ts';

/** What the constants of a model belong to. */
export const parts = ['embedding', 'attention', 'mlp', 'head', 'convolution', 'recurrent', 'linear', 'other'] as const;
export type Part = (typeof parts)[number];

/** Elements and stored bytes of constants. */
export interface Amount {
  readonly parameters: number;
  readonly storedBytes: number;
}

/** What a program's constants amount to, as a whole and by part. */
export interface Cost extends Amount {
  readonly byPart: ReadonlyMap<Part, Amount>;
}

const partsOfRoles: Readonly<Record<Role, Part>> = {
  embedding: 'embedding',
  'position-embedding': 'embedding',
  'type-embedding': 'embedding',
  'patch-embedding': 'embedding',
  q: 'attention',
  k: 'attention',
  v: 'attention',
  qkv: 'attention',
  o: 'attention',
  gate: 'mlp',
  up: 'mlp',
  down: 'mlp',
  router: 'mlp',
  'expert-gate': 'mlp',
  'expert-up': 'mlp',
  'expert-down': 'mlp',
  pooler: 'head',
  classifier: 'head',
  head: 'head',
};

/** Operators by the beginning of their names, their fused and quantized forms included. */
const partsOfOperators: readonly (readonly [pattern: RegExp, part: Part])[] = [
  [/^(Gather|Embed)/, 'embedding'],
  [/Conv/, 'convolution'],
  [/(LSTM|GRU|RNN)$/, 'recurrent'],
  [/(MatMul|Gemm)/, 'linear'],
];

/** Operators through which a weight only changes its form on the way to its use. */
const formChanges = new Set(['Transpose', 'Reshape', 'Cast', 'DequantizeLinear', 'Identity', 'Squeeze', 'Unsqueeze']);

const isRole = (text: string | undefined): text is Role => text !== undefined && text in partsOfRoles;

const partOfNode = (node: Node): Part | undefined => {
  const role = node.metadata.get(roleKey);
  if (isRole(role)) return partsOfRoles[role];
  return partsOfOperators.find(([pattern]) => pattern.test(node.op))?.[1];
};

/** The part that a constant belongs to: that of its first use with a meaning. */
const partOf = (value: Value): Part => {
  for (const { node } of value.uses) {
    const part = partOfNode(node);
    if (part) return part;
  }
  for (const { node } of value.uses) {
    const output = formChanges.has(node.op) ? node.outputs[0] : undefined;
    const part = output ? partOf(output) : 'other';
    if (part !== 'other') return part;
  }
  return 'other';
};

/** Bytes that a tensor takes in a file: packed weights as integers, scales and zero points. */
export const storedBytesOf = (tensor: Tensor): number => {
  if (tensor instanceof StringTensor) return tensor.strings.reduce((sum, bytes) => sum + bytes.length, 0);
  if (!(tensor instanceof PackedTensor)) return tensor.byteLength;
  const { codes, scales, zeroPoints, dtype, rows, storedBits } = tensor.facts;
  const zeroBytes = zeroPoints ? rows * Math.ceil((tensor.groups * storedBits) / 8) : 0;
  return codes.length + (scales.length * bitsOf(dtype)) / 8 + zeroBytes;
};

/** Sums up a program's constants without reading them. */
export const measureCost = (program: Program): Cost => {
  const byPart = new Map<Part, Amount>();
  const seen = new Set<Tensor>();
  for (const graph of allGraphs(program)) {
    const made = graph.nodes.flatMap((node) => (node.op === 'Constant' ? node.outputs : []));
    for (const value of [...graph.initializers, ...made]) {
      const tensor = constantOf(value);
      if (!value || !tensor || seen.has(tensor)) continue;
      seen.add(tensor);
      const part = partOf(value);
      const sum = byPart.get(part) ?? { parameters: 0, storedBytes: 0 };
      byPart.set(part, {
        parameters: sum.parameters + elementCount(tensor.shape),
        storedBytes: sum.storedBytes + storedBytesOf(tensor),
      });
    }
  }
  const total = (key: keyof Amount): number => [...byPart.values()].reduce((sum, amount) => sum + amount[key], 0);
  return { parameters: total('parameters'), storedBytes: total('storedBytes'), byPart };
};
