import { type ExpertLayer, findExpertLayers } from '../../../../analysis/experts/layers.ts';
import { siteTensor } from '../../../../analysis/site-weights.ts';
import type { Site } from '../../../../analysis/sites.ts';
import { nameSource } from '../../../../ir/edit/names.ts';
import { removeDead } from '../../../../ir/edit/remove-dead.ts';
import { replaceAllUses } from '../../../../ir/edit/replace.ts';
import {
  type Attribute,
  floatAttribute,
  intAttribute,
  Node,
  type Program,
  textAttribute,
  Value,
} from '../../../../ir/graph.ts';
import type { Role } from '../../../../ir/model.ts';
import { PackedTensor } from '../../../../ir/packed-tensor.ts';
import { tensorOf } from '../../../../ir/read.ts';
import { DerivedTensor, type Tensor } from '../../../../ir/tensor.ts';
import { packRows } from '../../../../kernels/index.ts';
import type { Finding } from '../../../../recipe/events.ts';
import { middleOf } from './packed.ts';
import type { LoweredWeight, LoweringReport } from './report.ts';

const microsoft = 'com.microsoft';

/** The packed weights of one expert. */
interface ExpertWeights {
  readonly gate: PackedTensor;
  readonly up: PackedTensor;
  readonly down: PackedTensor;
}

/** A layer that one QMoE can compute. */
interface QuantizedLayer {
  readonly layer: ExpertLayer;
  readonly experts: readonly ExpertWeights[];
  readonly bits: 2 | 4 | 8;
  /** Columns that share a scale; 0 for one scale a row. */
  readonly blockSize: number;
  /** The value that the operator computes: the experts' results summed with their gates, (tokens, width). */
  readonly result: Value;
}

/** The only node of these operators that reads a value. */
const onlyReader = (value: Value | undefined, ops: readonly string[]): Node | undefined => {
  const readers = value?.uses.filter(({ node }) => ops.includes(node.op)) ?? [];
  return readers.length === 1 ? readers[0]?.node : undefined;
};

/** Follows readers of these operators, one after the other, to the last one's output. */
const follow = (value: Value | undefined, ops: readonly string[]): Value | undefined =>
  ops.reduce<Value | undefined>((at, op) => onlyReader(at, [op])?.outputs[0], value);

/** True when gates are divided by their sum: what QMoE does. */
const isNormalised = ({ choice }: ExpertLayer): boolean => {
  const [gates] = choice.producer?.outputs ?? [];
  return gates?.uses.some(({ node, index }) => node.op === 'Div' && index === 0) ?? false;
};

const siteOf = (sites: readonly Site[], role: Role): Site | undefined => sites.find((site) => site.role === role);

/** True when the expert is gate · sigmoid(gate) · up and its product: SwiGLU without a bias. */
const isSwiglu = (sites: readonly Site[]): boolean => {
  const [gate, up, down] = (['expert-gate', 'expert-up', 'expert-down'] as const).map((role) => siteOf(sites, role));
  const sigmoid = onlyReader(gate?.output, ['Sigmoid'])?.outputs[0];
  const swish = onlyReader(gate?.output, ['Mul']);
  const mixed = onlyReader(up?.output, ['Mul']);
  return (
    sites.length === 3 &&
    swish?.inputs.includes(sigmoid) === true &&
    mixed?.inputs.includes(swish.outputs[0]) === true &&
    down?.input === mixed.outputs[0] &&
    sites.every(({ op }) => op === 'MatMul')
  );
};

const packedOf = (sites: readonly Site[], role: Role): PackedTensor | undefined => {
  const site = siteOf(sites, role);
  const tensor = site && siteTensor(site);
  return tensor instanceof PackedTensor && tensor.facts.layout === 'rows-last' ? tensor : undefined;
};

/** What keeps a layer from being one QMoE, or how it becomes one. */
const quantizedLayer = (layer: ExpertLayer): QuantizedLayer | string => {
  const experts: ExpertWeights[] = [];
  for (const { sites } of layer.experts) {
    if (!isSwiglu(sites)) return 'an expert is not gate · sigmoid(gate) · up';
    const [gate, up, down] = [
      packedOf(sites, 'expert-gate'),
      packedOf(sites, 'expert-up'),
      packedOf(sites, 'expert-down'),
    ];
    if (!gate || !up || !down) return 'a weight of an expert is not quantized';
    experts.push({ gate, up, down });
  }
  if (!isNormalised(layer)) return 'the gates of the chosen experts are not divided by their sum';
  const all = experts.flatMap(({ gate, up, down }) => [gate, up, down]);
  const [first] = all;
  const { storedBits, dtype } = first!.facts;
  if (dtype !== 'float32') return `its weights stand for ${dtype}`;
  if (all.some(({ facts }) => facts.storedBits !== storedBits)) return 'its experts are stored in different widths';
  const rowWise = all.every(({ facts }) => facts.groupSize >= facts.columns);
  const blockSize = rowWise ? 0 : Math.min(...all.map(({ facts }) => facts.groupSize));
  const fits = all.every(
    ({ facts }) => facts.groupSize === blockSize && facts.columns % blockSize === 0 && facts.columns > blockSize,
  );
  if (!rowWise && (!fits || blockSize < 16 || (blockSize & (blockSize - 1)) !== 0))
    return 'its groups are not one power of two that divides the widths';
  if (
    all.some(({ facts }) => (facts.columns * storedBits) % 8 !== 0 || (rowWise && (facts.rows * storedBits) % 8 !== 0))
  )
    return 'a row of codes does not fill its bytes';
  const [{ sites } = { sites: [] }] = layer.experts;
  const down = siteOf(sites, 'expert-down');
  const result = follow(down?.output, ['Concat', 'Gather', 'Reshape', 'Mul', 'ReduceSum']);
  if (!result) return 'the results of its experts are not put together as this tool does it';
  return { layer, experts, bits: storedBits, blockSize, result };
};

/** Two matrices of a layer, row by row in turn. */
const interleave = <T extends Uint8Array | Float32Array>(gate: T, up: T, width: number): T => {
  const made = (gate instanceof Uint8Array ? new Uint8Array(2 * gate.length) : new Float32Array(2 * gate.length)) as T;
  for (let at = 0; at < gate.length; at += width) {
    made.set(gate.subarray(at, at + width), 2 * at);
    made.set(up.subarray(at, at + width), 2 * at + width);
  }
  return made;
};

const concatenate = <T extends Uint8Array | Float32Array>(parts: readonly T[]): T => {
  const [first] = parts;
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const made = (first instanceof Uint8Array ? new Uint8Array(length) : new Float32Array(length)) as T;
  let at = 0;
  for (const part of parts) {
    made.set(part, at);
    at += part.length;
  }
  return made;
};

/** (rows, groups), one a byte; the middle of the grid where none are stored. */
const zerosOf = ({ facts, groups }: PackedTensor): Uint8Array =>
  facts.zeroPoints ?? new Uint8Array(facts.rows * groups).fill(middleOf(facts));

/** What QMoE reads of one of the two products of all experts. */
interface ExpertInputs {
  readonly codes: Tensor;
  readonly scales: Tensor;
  readonly zeroPoints: Tensor | undefined;
}

/** @param of the matrices of one expert that are stacked, row by row in turn. */
const expertInputs = (
  { experts, bits, blockSize }: QuantizedLayer,
  of: (weights: ExpertWeights) => readonly PackedTensor[],
): ExpertInputs => {
  const stacks = experts.map(of);
  const [model] = stacks[0]!;
  const { columns } = model!.facts;
  const rows = stacks[0]!.length * model!.facts.rows;
  const { groups } = model!;
  const join = <T extends Uint8Array | Float32Array>(read: (tensor: PackedTensor) => T, width: number): T =>
    concatenate(stacks.map(([one, other]) => (other ? interleave(read(one!), read(other), width) : read(one!))));
  const rowBytes = (columns * bits) / 8;
  const grid = blockSize === 0 ? [experts.length, rows] : [experts.length, rows, groups];
  const plain = stacks.flat().every(({ facts }) => facts.zeroPoints === null && middleOf(facts) === 2 ** (bits - 1));
  const zeroShape =
    blockSize === 0 ? [experts.length, (rows * bits) / 8] : [experts.length, rows, Math.ceil((groups * bits) / 8)];
  const packZeros = (): Uint8Array => {
    const codes = join(zerosOf, groups);
    return blockSize === 0
      ? packRows({ codes, rows: experts.length, columns: rows, bits })
      : packRows({ codes, rows: experts.length * rows, columns: groups, bits });
  };
  return {
    codes: new DerivedTensor('uint8', [experts.length, rows, rowBytes], () =>
      join(({ facts }) => facts.codes, rowBytes),
    ),
    scales: tensorOf(
      'float32',
      grid,
      join(({ facts }) => facts.scales, groups),
    ),
    zeroPoints: plain ? undefined : new DerivedTensor('uint8', zeroShape, packZeros),
  };
};

const lowerLayer = (program: Program, quantized: QuantizedLayer): LoweredWeight[] => {
  const { layer, bits, blockSize, result } = quantized;
  const { graph } = program;
  const names = nameSource(graph);
  const path = layer.router.name;
  const constant = (suffix: string, tensor: Tensor | undefined): Value | undefined =>
    tensor && graph.addInitializer(names.fresh(`${path}_${suffix}`), tensor);
  const fc1 = expertInputs(quantized, ({ gate, up }) => [gate, up]);
  const fc2 = expertInputs(quantized, ({ down }) => [down]);
  const inputs = [
    layer.router.input,
    layer.router.output,
    ...[constant('fc1_codes', fc1.codes), constant('fc1_scales', fc1.scales), undefined],
    ...[constant('fc2_codes', fc2.codes), constant('fc2_scales', fc2.scales), undefined],
    ...[undefined, undefined, undefined],
    ...[constant('fc1_zero_points', fc1.zeroPoints), constant('fc2_zero_points', fc2.zeroPoints)],
  ];
  const attributes: Record<string, Attribute> = {
    k: intAttribute(layer.chosen),
    expert_weight_bits: intAttribute(bits),
    normalize_routing_weights: intAttribute(1),
    activation_type: textAttribute('swiglu'),
    swiglu_fusion: intAttribute(1),
    activation_alpha: floatAttribute(1),
    activation_beta: floatAttribute(0),
    ...(blockSize === 0 ? {} : { block_size: intAttribute(blockSize) }),
  };
  const output = new Value(names.fresh(`${path}_experts`), result.type);
  const node = new Node({
    op: 'QMoE',
    domain: microsoft,
    name: names.fresh(`${path}_QMoE`),
    inputs,
    outputs: [output],
    attributes,
  });
  node.trimInputs();
  graph.insert(node, result.producer);
  replaceAllUses(result, output, { graph });
  return layer.experts.flatMap(({ sites }) =>
    sites.map(
      ({ weight, columns }): LoweredWeight => ({
        weight: weight.name,
        form: 'QMoE',
        bits,
        blockSize: blockSize === 0 ? columns : blockSize,
      }),
    ),
  );
};

/**
 * Turns sparse layers whose experts are all quantized into com.microsoft QMoE, in place: one operator computes the
 * experts of a layer from stacked codes. Layers that it cannot carry keep a product for each expert, with the reason.
 */
export const lowerExperts = (program: Program, expertBits: readonly number[]): LoweringReport => {
  const weights: LoweredWeight[] = [];
  const findings: Finding[] = [];
  for (const layer of findExpertLayers(program)) {
    const quantized = layer.router.graph === program.graph ? quantizedLayer(layer) : 'it stands in a body';
    const obstacle =
      typeof quantized === 'string'
        ? quantized
        : expertBits.includes(quantized.bits)
          ? undefined
          : `no operator of ${quantized.bits} bits`;
    if (typeof quantized !== 'string' && obstacle === undefined) weights.push(...lowerLayer(program, quantized));
    else findings.push({ kind: 'fallback', text: `block ${layer.block} keeps a product for each expert: ${obstacle}` });
  }
  if (weights.length === 0) return { weights, findings };
  if (!program.opsets.has(microsoft)) program.opsets.set(microsoft, 1);
  removeDead(program);
  return { weights, findings };
};
