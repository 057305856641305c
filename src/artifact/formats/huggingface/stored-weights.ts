import { CompressError, CompressErrors, internalError } from '../../../errors.ts';
import { normaliseBuildOptions } from '../../../families/family.ts';
import { type BuildOptions, familyOf, type JsonObject, type TensorSource } from '../../../families/index.ts';
import { derivationOf, offsetTensor, transposeTensor } from '../../../families/lazy.ts';
import { scatterColumns } from '../../../ir/column-order.ts';
import { bitsOf, isFloat } from '../../../ir/data-type.ts';
import type { Program, Value } from '../../../ir/graph.ts';
import type { Model } from '../../../ir/model.ts';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import { floatTensor, readFloats, readInts } from '../../../ir/read.ts';
import { elementCount } from '../../../ir/shape.ts';
import { DerivedTensor, type Tensor } from '../../../ir/tensor.ts';
import { constantOf } from '../../../ir/walk.ts';
import { joinPacked } from '../quantized/join.ts';

/** A weight as a checkpoint stores it. */
export interface StoredWeight {
  /** Name in the checkpoint. */
  readonly name: string;
  /** In the shape that the checkpoint has; packed where the graph's weight is, then with the order of its inputs. */
  readonly tensor: Tensor;
  /** Whether it is the matrix of a linear layer. */
  readonly linear: boolean;
}

/** Smaller floating-point constants are numbers of the graph, not weights. */
const smallestWeight = 16;

/** A tensor of the checkpoint that the family asks for, without content. */
interface Slot {
  readonly name: string;
  readonly shape: readonly number[];
}

const optionsOf = (program: Program): Partial<BuildOptions> => ({
  layout: program.graph.inputs.some(({ name }) => name.startsWith('past_key_values')) ? 'generation' : 'scoring',
  pooler: program.graph.outputs.some(({ name }) => name === 'pooler_output'),
});

/** Names under which a checkpoint may hold what the graph has in parts. */
const fusedNames = (name: string): string[] => [
  name,
  ...(name.includes('.q_proj.') ? [name.replace('.q_proj.', '.qkv_proj.')] : []),
  ...(name.includes('.gate_proj.') ? [name.replace('.gate_proj.', '.gate_up_proj.')] : []),
];

/** The graph that a configuration stands for, and the slot of each tensor that the family asked a checkpoint for. */
const buildTemplate = (config: JsonObject, program: Program): { values: Value[]; slots: Map<Tensor, Slot> } => {
  const slots = new Map<Tensor, Slot>();
  const names = [...new Set([...program.graph.initializers].flatMap(({ name }) => fusedNames(name)))];
  const known = new Set(names);
  const empty = (name: string) => (): never => {
    throw internalError(`the template of tensor ${name} was read`);
  };
  const source: TensorSource = {
    names,
    has: (name) => known.has(name),
    get: (name) => empty(name)(),
    make: (name, shape) => {
      const tensor = new DerivedTensor('float32', shape, empty(name));
      slots.set(tensor, { name, shape });
      return tensor;
    },
  };
  const template = familyOf(config).build(config, source, normaliseBuildOptions(optionsOf(program)));
  return { values: [...template.graph.initializers], slots };
};

/** Where a part of the graph lies in a tensor of the checkpoint. */
interface Part {
  readonly slot: Slot;
  /** First element. */
  readonly begin: number;
  readonly tensor: Tensor;
  readonly value: Value;
}

const turned = (tensor: Tensor): Tensor => {
  if (tensor instanceof PackedTensor && tensor.shape.length === 2)
    return tensor.seenAs({
      shape: [...tensor.shape].reverse(),
      layout: tensor.facts.layout === 'rows-last' ? 'rows-first' : 'rows-last',
    });
  const dtype = tensor.dtype === 'float16' || tensor.dtype === 'bfloat16' ? tensor.dtype : 'float32';
  return transposeTensor(tensor, dtype);
};

/** The slot that a tensor of the template was made of; undefined for constants that come from no checkpoint. */
const slotOf = (made: Tensor, slots: ReadonlyMap<Tensor, Slot>): Slot | undefined => {
  const slot = slots.get(made);
  const step = slot ? undefined : derivationOf(made);
  return step ? slotOf(step.of, slots) : slot;
};

/** Undoes what the family did to a stored tensor. */
const partOf = (made: Tensor, actual: Tensor, value: Value, slot: Slot): Part => {
  let begin = 0;
  let tensor = actual;
  for (let at = made; ; ) {
    const step = derivationOf(at);
    if (!step) return { slot, begin, tensor, value };
    if (step.kind === 'transpose') tensor = turned(tensor);
    else if (step.kind === 'offset') tensor = offsetTensor(tensor, -step.offset, 'float32');
    else if (step.kind === 'range') begin += step.begin;
    at = step.of;
  }
};

/** The order that a Gather puts the inputs of a product in. */
const inputOrderOf = ({ uses }: Value): Uint32Array | undefined => {
  const gather = uses.find(({ node, index }) => node.op === 'MatMul' && index === 1)?.node.inputs[0]?.producer;
  if (gather?.op !== 'Gather' || gather.domain !== '' || gather.int('axis', 0) !== -1) return undefined;
  const order = constantOf(gather.inputs[1]);
  return order?.shape.length === 1 ? Uint32Array.from(readInts(order)) : undefined;
};

const isLinear = ({ uses }: Value): boolean =>
  uses.some(({ node, index }) => node.domain === '' && node.op === 'MatMul' && index === 1);

/** Bytes of parts one after the other, in one element type. */
const joinPlain = (slot: Slot, parts: readonly Part[]): Tensor => {
  const { dtype } = parts[0]!.tensor;
  return new DerivedTensor(dtype, slot.shape, () => {
    const width = bitsOf(dtype) / 8;
    const bytes = new Uint8Array(elementCount(slot.shape) * width);
    for (const { begin, tensor } of parts) bytes.set(tensor.bytes(), begin * width);
    return bytes;
  });
};

const sameOrder = (a: Uint32Array | undefined, b: Uint32Array | undefined): boolean => String(a) === String(b);

/** A matrix [rows, columns] whose inputs a Gather puts in an order, as it is without one. */
const inNaturalOrder = (tensor: Tensor, order: Uint32Array | undefined): Tensor => {
  if (!order) return tensor;
  if (tensor instanceof PackedTensor) return tensor.withInputOrder(order);
  const dtype = tensor.dtype === 'float16' || tensor.dtype === 'bfloat16' ? tensor.dtype : 'float32';
  return new DerivedTensor(dtype, tensor.shape, () =>
    floatTensor(tensor.shape, scatterColumns(readFloats(tensor), tensor.shape[0] ?? 0, order), dtype).bytes(),
  );
};

const joinParts = (slot: Slot, parts: readonly Part[]): StoredWeight => {
  const sorted = [...parts].sort((a, b) => a.begin - b.begin);
  const first = sorted[0]!;
  const orders = sorted.map(({ value }) => inputOrderOf(value));
  const linear = sorted.every(({ value }) => isLinear(value));
  const common = { name: slot.name, linear };
  if (sorted.length === 1) return { ...common, tensor: inNaturalOrder(first.tensor, orders[0]) };
  const alike = orders.every((order) => sameOrder(order, orders[0])) && slot.shape.length === 2;
  const joined = alike ? joinPacked(sorted.map(({ tensor }) => tensor)) : undefined;
  if (joined) return { ...common, tensor: inNaturalOrder(joined, orders[0]) };
  const natural = sorted.map((part, index) => ({ ...part, tensor: inNaturalOrder(part.tensor, orders[index]) }));
  return { ...common, tensor: joinPlain(slot, natural) };
};

const differs = (model: Model, tensor: string, message: string): CompressError =>
  new CompressError({
    code: 'unsupported',
    message,
    where: { file: model.origin, tensor },
    hint: 'The graph has left the form that config.json describes. Write an ONNX format.',
  });

/**
 * The weights of a graph as a checkpoint of its family stores them: names, orientation and parts as the family reads
 * them. Reads no weight.
 * @throws unsupported for models without a family and for graphs that stages have given another form.
 */
export const storedWeights = (model: Model): StoredWeight[] => {
  const { program, config } = model;
  if (!config)
    throw new CompressError({
      code: 'unsupported',
      message: 'a checkpoint is described by its config.json, and there is none beside this model',
      where: { file: model.origin },
      hint: 'Put the config.json of the model beside it, or write an ONNX format.',
    });
  const { values, slots } = buildTemplate(config, program);
  const actual = new Map([...program.graph.initializers].map((value) => [value.name, value]));
  const expected = new Set(values.map(({ name }) => name));
  const problems: CompressError[] = [];
  const partsOf = new Map<Slot, Part[]>();
  for (const { name, tensor } of values) {
    const value = actual.get(name);
    const slot = tensor && slotOf(tensor, slots);
    if (!tensor || !slot) continue;
    if (!value?.tensor) problems.push(differs(model, name, 'the graph lacks a weight that its configuration asks for'));
    else if (value.tensor.shape.join() !== tensor.shape.join())
      problems.push(
        differs(
          model,
          name,
          `the weight has shape [${value.tensor.shape.join(', ')}] where its configuration asks for [${tensor.shape.join(', ')}]`,
        ),
      );
    else partsOf.set(slot, [...(partsOf.get(slot) ?? []), partOf(tensor, value.tensor, value, slot)]);
  }
  for (const { name, tensor } of program.graph.initializers)
    if (tensor && isFloat(tensor.dtype) && elementCount(tensor.shape) >= smallestWeight && !expected.has(name))
      problems.push(differs(model, name, 'the graph has a weight that its configuration knows nothing of'));
  if (problems.length > 0) throw new CompressErrors(problems);
  return [...partsOf].map(([slot, parts]) => joinParts(slot, parts));
};
