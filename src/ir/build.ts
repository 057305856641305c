import { internalError } from '../errors.ts';
import { type DataType, dataTypes } from './data-type.ts';
import { type NameSource, nameSource } from './edit/names.ts';
import { type Attribute, type Graph, intAttribute, intsAttribute, Node, Value } from './graph.ts';
import { floatTensor, intTensor, tensorOf } from './read.ts';
import { tensorType, type ValueType } from './shape.ts';
import type { Tensor } from './tensor.ts';

/** Operators whose output has not the element type of its first input. */
const otherTypeOperators = new Set([
  'Shape',
  'Size',
  'NonZero',
  'Equal',
  'Greater',
  'GreaterOrEqual',
  'Less',
  'LessOrEqual',
  'ArgMax',
  'ArgMin',
  'Cast',
  'IsNaN',
  'OneHot',
  'ConstantOfShape',
]);

type Attributes = Readonly<Record<string, Attribute>>;

/** A key that two attributes share only when they are equal; undefined for those that are compared by identity only. */
const attributeKey = (attribute: Attribute): string | undefined => {
  switch (attribute.kind) {
    case 'int':
    case 'float':
      return `${attribute.kind}:${attribute.value}`;
    case 'ints':
    case 'floats':
      return `${attribute.kind}:${attribute.value.join(',')}`;
    case 'string':
      return `string:${Buffer.from(attribute.value).toString('hex')}`;
    default:
      return undefined;
  }
};

/**
 * Appends operators to a graph. Equal calls (same operator, inputs and attributes) give the same value, equal small
 * constants the same initializer, so that generated graphs share what they can.
 */
export class OperatorBuilder {
  readonly graph: Graph;
  readonly #prefix: string;
  readonly #before: Node | undefined;
  readonly #names: NameSource;
  readonly #numbers = new Map<Value, number>();
  readonly #calls = new Map<string, readonly Value[]>();
  readonly #constants = new Map<string, Value>();

  /**
   * @param prefix starts the name of everything made.
   * @param before new nodes stand before this one; without it, at the end of the graph.
   */
  constructor(graph: Graph, prefix: string, before?: Node) {
    this.graph = graph;
    this.#before = before;
    this.#prefix = prefix;
    this.#names = nameSource(graph);
  }

  /** One operator of the standard domain with one output. */
  call(op: string, inputs: readonly (Value | undefined)[], attributes: Attributes = {}): Value {
    return this.calls(op, inputs, 1, attributes)[0]!;
  }

  /** One operator of the standard domain with several outputs. */
  calls(
    op: string,
    inputs: readonly (Value | undefined)[],
    outputCount: number,
    attributes: Attributes = {},
  ): readonly Value[] {
    const key = this.#callKey(op, inputs, outputCount, attributes);
    const known = key === undefined ? undefined : this.#calls.get(key);
    if (known) return known;
    const name = this.#names.fresh(`${this.#prefix}/${op}`);
    const outputs = Array.from(
      { length: outputCount },
      (_, index) => new Value(this.#names.fresh(outputCount === 1 ? `${name}.out` : `${name}.out${index}`)),
    );
    this.graph.insert(new Node({ op, name, inputs, outputs, attributes }), this.#before);
    this.#typeOutputs(op, inputs, outputs);
    if (key !== undefined) this.#calls.set(key, outputs);
    return outputs;
  }

  /** Gives a value the type of another one: gradients have the shape of what they belong to. */
  typed(value: Value, type: ValueType | undefined): Value {
    const known = value.type;
    if (type && (!known || (known.kind === 'tensor' && known.shape === undefined))) value.type = type;
    return value;
  }

  constant(tensor: Tensor): Value {
    if (tensor.byteLength > 1024)
      return this.graph.addInitializer(this.#names.fresh(`${this.#prefix}/constant`), tensor);
    const key = `${tensor.dtype}[${tensor.shape.join(',')}]${Buffer.from(tensor.bytes()).toString('hex')}`;
    const known = this.#constants.get(key);
    if (known) return known;
    const made = this.graph.addInitializer(this.#names.fresh(`${this.#prefix}/constant`), tensor);
    this.#constants.set(key, made);
    return made;
  }

  /** A constant of rank 0. */
  scalar(value: number, dtype: DataType): Value {
    return this.constant(tensorOf(dtype, [], [value]));
  }

  /** A scalar of the element type of `like`. @throws internal error where that type is unknown. */
  scalarLike(value: number, like: Value): Value {
    return this.scalar(value, dtypeOf(like));
  }

  /** An int64 vector: shapes, axes, indices. */
  integers(numbers: readonly number[]): Value {
    return this.constant(intTensor([numbers.length], numbers));
  }

  floats(shape: readonly number[], numbers: ArrayLike<number>, dtype: 'float32' | 'float64' | 'float16'): Value {
    return this.constant(floatTensor(shape, numbers, dtype));
  }

  add(a: Value, b: Value): Value {
    return this.call('Add', [a, b]);
  }

  subtract(a: Value, b: Value): Value {
    return this.call('Sub', [a, b]);
  }

  multiply(a: Value, b: Value): Value {
    return this.call('Mul', [a, b]);
  }

  divide(a: Value, b: Value): Value {
    return this.call('Div', [a, b]);
  }

  negate(a: Value): Value {
    return this.call('Neg', [a]);
  }

  /** a times a number. */
  scale(a: Value, factor: number): Value {
    return this.multiply(a, this.scalarLike(factor, a));
  }

  transpose(a: Value, permutation: readonly number[]): Value {
    return this.call('Transpose', [a], { perm: intsAttribute(permutation) });
  }

  reshape(a: Value, shape: Value): Value {
    return this.call('Reshape', [a, shape]);
  }

  /** `a` with the shape of `like` (as many elements). */
  reshapeLike(a: Value, like: Value): Value {
    return this.typed(this.call('Reshape', [a, this.call('Shape', [like])], { allowzero: intAttribute(1) }), like.type);
  }

  /** Sum over axes, which stay with size 1 when `keep` is 'keep'. */
  sumOver(a: Value, axes: readonly number[], keep: 'keep' | 'drop'): Value {
    return this.call('ReduceSum', [a, this.integers(axes)], { keepdims: intAttribute(keep === 'keep' ? 1 : 0) });
  }

  /** `a` in the element type of `like`. */
  castLike(a: Value, like: Value): Value {
    const dtype = dtypeOf(like);
    return this.typed(this.call('Cast', [a], { to: intAttribute(dataTypes[dtype].onnx) }), {
      kind: 'tensor',
      dtype,
      shape: a.type?.kind === 'tensor' ? a.type.shape : undefined,
    });
  }

  #numberOf(value: Value | undefined): number {
    if (!value) return -1;
    const known = this.#numbers.get(value);
    if (known !== undefined) return known;
    this.#numbers.set(value, this.#numbers.size);
    return this.#numbers.size - 1;
  }

  /** Element types of outputs that follow the first input's; shapes are left to inference. */
  #typeOutputs(op: string, inputs: readonly (Value | undefined)[], outputs: readonly Value[]): void {
    const first = op === 'Where' ? inputs[1] : inputs[0];
    const dtype = first?.type?.kind === 'tensor' ? first.type.dtype : undefined;
    if (!dtype || otherTypeOperators.has(op)) return;
    for (const output of outputs) output.type = tensorType(dtype);
  }

  #callKey(
    op: string,
    inputs: readonly (Value | undefined)[],
    outputCount: number,
    attributes: Attributes,
  ): string | undefined {
    const parts = [op, String(outputCount), inputs.map((input) => this.#numberOf(input)).join(',')];
    for (const name of Object.keys(attributes).sort()) {
      const key = attributeKey(attributes[name]!);
      if (key === undefined) return undefined;
      parts.push(`${name}=${key}`);
    }
    return parts.join('|');
  }
}

/** The element type of a tensor value. @throws internal error where it is unknown (shape inference has not run). */
export const dtypeOf = (value: Value): DataType => {
  const dtype = value.type?.kind === 'tensor' ? value.type.dtype : undefined;
  if (!dtype) throw internalError(`the element type of value ${value.name} is not known`);
  return dtype;
};
