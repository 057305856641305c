import type { DataType } from '../ir/data-type.ts';
import { removeDead } from '../ir/edit/remove-dead.ts';
import {
  type Attribute,
  Graph,
  intAttribute,
  intsAttribute,
  Node,
  newProgram,
  type Program,
  Value,
} from '../ir/graph.ts';
import { blockKey, type Role, roleKey } from '../ir/model.ts';
import { floatTensor, intTensor } from '../ir/read.ts';
import { type Shape, tensorType } from '../ir/shape.ts';
import type { Tensor } from '../ir/tensor.ts';
import { type BuildOptions, noteUnusedTensors } from './family.ts';
import type { WeightReader } from './weights.ts';

/** Oldest ONNX IR version that an operator set may be used with, and that has metadata on nodes (10). */
const irVersionOf = (opset: number): number => (opset <= 22 ? 10 : opset === 23 ? 11 : 12);

export interface OperatorFields {
  readonly attributes?: Readonly<Record<string, Attribute>>;
  /** Operator domain; '' is the standard one. */
  readonly domain?: string;
  /** The node's whole name; without it, scope and operator make one. */
  readonly name?: string;
  readonly role?: Role;
}

/**
 * Writes a graph from front to back. Nodes made within a scope are named after it (`model.layers.0.self_attn/Softmax`),
 * those within a block carry its number. Equal constants and weights of one name are made once.
 */
export class GraphBuilder {
  readonly graph = new Graph('main');
  readonly options: BuildOptions;
  readonly weights: WeightReader;
  #scope = '';
  #block: number | undefined;
  readonly #constants = new Map<string, Value>();
  readonly #nameCounts = new Map<string, number>();
  readonly #domains = new Set<string>();

  constructor(options: BuildOptions, weights: WeightReader) {
    this.options = options;
    this.weights = weights;
  }

  input(name: string, dtype: DataType, shape: Shape): Value {
    const value = new Value(name, tensorType(dtype, shape));
    this.graph.inputs.push(value);
    return value;
  }

  /** Makes a computed value an output of the graph under this name, at the given place among the outputs or last. */
  output(value: Value, name: string, dtype: DataType, shape: Shape, place = this.graph.outputs.length): void {
    value.name = name;
    value.type = tensorType(dtype, shape);
    this.graph.outputs.splice(place, 0, value);
  }

  /** A weight of the checkpoint; the same value when it is asked for again. */
  weight(name: string, make: () => Tensor): Value {
    return this.constant(name, name, make);
  }

  /** A vector of integers (int64). */
  ints(numbers: readonly number[]): Value {
    const name = `constant/ints[${numbers.join(',')}]`;
    return this.constant(name, name, () => intTensor([numbers.length], numbers));
  }

  /** An integer of rank 0 (int64). */
  int(number: number): Value {
    const name = `constant/int(${number})`;
    return this.constant(name, name, () => intTensor([], [number]));
  }

  /** A number of rank 0 in the type that the graph computes in, or in the one named. */
  float(number: number, dtype: 'float32' | 'float16' = this.options.dtype): Value {
    const name = `constant/${dtype}(${number})`;
    return this.constant(name, name, () => floatTensor([], [number], dtype));
  }

  /** A vector of numbers (float32). */
  floats(name: string, numbers: Float32Array): Value {
    return this.constant(`${name}[${numbers.join(',')}]`, name, () => floatTensor([numbers.length], numbers));
  }

  /** A constant made once for each `key`; its name is `name`, numbered where another constant has it. */
  constant(key: string, name: string, make: () => Tensor): Value {
    const known = this.#constants.get(key);
    if (known) return known;
    const value = this.graph.addInitializer(this.#freshName(name), make());
    this.#constants.set(key, value);
    return value;
  }

  /** Names what `body` makes after a module path of the checkpoint. */
  within<T>(scope: string, body: () => T): T {
    const outer = this.#scope;
    this.#scope = scope;
    try {
      return body();
    } finally {
      this.#scope = outer;
    }
  }

  /** Gives what `body` makes to repeated block `number`. */
  block<T>(number: number, body: () => T): T {
    this.#block = number;
    try {
      return body();
    } finally {
      this.#block = undefined;
    }
  }

  /** One operator with one output. */
  op(type: string, inputs: readonly (Value | undefined)[], fields: OperatorFields = {}): Value {
    return this.ops(type, inputs, 1, fields)[0]!;
  }

  /** One operator with several outputs. */
  ops(
    type: string,
    inputs: readonly (Value | undefined)[],
    outputCount: number,
    fields: OperatorFields = {},
  ): readonly Value[] {
    const name = fields.name ?? this.#freshName(this.#scope ? `${this.#scope}/${type}` : type);
    const outputs = Array.from(
      { length: outputCount },
      (_, index) => new Value(outputCount === 1 ? `${name}/output` : `${name}/output.${index}`),
    );
    const domain = fields.domain ?? '';
    if (domain !== '') this.#domains.add(domain);
    const node = new Node({ op: type, domain, name, inputs, outputs, attributes: fields.attributes ?? {} });
    if (fields.role) node.metadata.set(roleKey, fields.role);
    if (this.#block !== undefined) node.metadata.set(blockKey, String(this.#block));
    this.graph.insert(node);
    return outputs;
  }

  #freshName(base: string): string {
    const count = this.#nameCounts.get(base) ?? 0;
    this.#nameCounts.set(base, count + 1);
    return count === 0 ? base : `${base}_${count}`;
  }

  add(a: Value, b: Value): Value {
    return this.op('Add', [a, b]);
  }

  multiply(a: Value, b: Value): Value {
    return this.op('Mul', [a, b]);
  }

  /** `dims` as ONNX reads them: 0 keeps the dimension at that place, one -1 is inferred. */
  reshape(value: Value, dims: readonly number[]): Value {
    return this.op('Reshape', [value, this.ints(dims)]);
  }

  transpose(value: Value, permutation: readonly number[]): Value {
    return this.op('Transpose', [value], { attributes: { perm: intsAttribute(permutation) } });
  }

  unsqueeze(value: Value, axes: readonly number[]): Value {
    return this.op('Unsqueeze', [value, this.ints(axes)]);
  }

  squeeze(value: Value, axes: readonly number[]): Value {
    return this.op('Squeeze', [value, this.ints(axes)]);
  }

  concat(values: readonly Value[], axis: number): Value {
    return this.op('Concat', values, { attributes: { axis: intAttribute(axis) } });
  }

  /** Parts of these sizes along an axis. */
  split(value: Value, axis: number, sizes: readonly number[]): readonly Value[] {
    return this.ops('Split', [value, this.ints(sizes)], sizes.length, { attributes: { axis: intAttribute(axis) } });
  }

  gather(data: Value, indices: Value, axis: number, fields: OperatorFields = {}): Value {
    return this.op('Gather', [data, indices], { ...fields, attributes: { axis: intAttribute(axis) } });
  }

  softmax(value: Value): Value {
    return this.op('Softmax', [value], { attributes: { axis: intAttribute(-1) } });
  }

  cast(value: Value, dtype: 'float32' | 'float16' | 'int64' | 'int32' | 'bool'): Value {
    const numbers = { float32: 1, int32: 6, int64: 7, bool: 9, float16: 10 } as const;
    return this.op('Cast', [value], { attributes: { to: intAttribute(numbers[dtype]) } });
  }

  /** A float32 value in the type that the graph computes in. */
  narrow(value: Value): Value {
    return this.options.dtype === 'float32' ? value : this.cast(value, this.options.dtype);
  }

  /** A value of the graph's type in float32. */
  widen(value: Value): Value {
    return this.options.dtype === 'float32' ? value : this.cast(value, 'float32');
  }

  /** Size of one dimension, rank 0 (int64). */
  dimension(value: Value, axis: number): Value {
    return this.squeeze(this.dimensions(value, axis, axis + 1), [0]);
  }

  /** Sizes of dimensions `start` to `end`, a vector (int64). */
  dimensions(value: Value, start: number, end: number): Value {
    return this.op('Shape', [value], { attributes: { start: intAttribute(start), end: intAttribute(end) } });
  }

  /** The integers `start` to `limit` - 1, both of rank 0. */
  range(start: Value, limit: Value): Value {
    return this.op('Range', [start, limit, this.int(1)]);
  }

  /** The finished program. @throws all missing and ill-shaped weights together. */
  finish(): Program {
    const unused = this.weights.finish();
    const program = newProgram(this.graph, this.options.opset, irVersionOf(this.options.opset));
    for (const domain of this.#domains) program.opsets.set(domain, 1);
    removeDead(program);
    noteUnusedTensors(program, unused);
    return program;
  }
}
