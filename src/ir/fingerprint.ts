import { Hasher } from '../kernels/index.ts';
import type { Attribute, Graph, Node, Program, Value } from './graph.ts';
import { blockKey } from './model.ts';
import { PackedTensor } from './packed-tensor.ts';
import { FileTensor, StringTensor, type Tensor } from './tensor.ts';

/** Bytes of a file tensor that are in memory at once while it is hashed. */
const chunkBytes = 8 * 1024 * 1024;

const encoder = new TextEncoder();

const asText = (_: string, value: unknown): unknown => {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (typeof value === 'bigint') return `${value}n`;
  return value;
};

/** Everything is written with its length or kind before it, so that no two programs give the same bytes. */
class ProgramHasher {
  readonly #hasher = new Hasher();
  readonly #tensors = new Map<Tensor, number>();

  hex(): string {
    return this.#hasher.hex();
  }

  facts(...facts: readonly unknown[]): void {
    const bytes = encoder.encode(JSON.stringify(facts, asText));
    this.#hasher.update(encoder.encode(`${bytes.byteLength}:`)).update(bytes);
  }

  graph({ inputs, initializers, nodes, outputs }: Graph): void {
    this.facts(
      'graph',
      inputs.map(({ name, type }) => [name, type ?? null]),
      outputs.map(({ name }) => name),
    );
    for (const value of initializers) if (value.tensor) this.#constant(value, value.tensor);
    for (const node of nodes) this.#node(node);
    this.facts('end');
  }

  #constant({ name }: Value, tensor: Tensor): void {
    this.facts('constant', name);
    this.#tensor(tensor);
  }

  #node({ op, domain, overload, name, inputs, outputs, attributes, metadata }: Node): void {
    const namesOf = (values: readonly (Value | undefined)[]): (string | null)[] =>
      values.map((value) => value?.name ?? null);
    this.facts('node', op, domain, overload, name, namesOf(inputs), namesOf(outputs), metadata.get(blockKey) ?? null);
    for (const [key, attribute] of [...attributes].sort(([a], [b]) => (a < b ? -1 : 1)))
      this.#attribute(key, attribute);
  }

  #attribute(key: string, { kind, value }: Attribute): void {
    this.facts('attribute', key, kind);
    if (kind === 'tensor') this.#tensor(value);
    else if (kind === 'tensors') for (const tensor of value) this.#tensor(tensor);
    else if (kind === 'graph') this.graph(value);
    else if (kind === 'graphs') for (const graph of value) this.graph(graph);
    else this.facts(value);
  }

  /** A tensor that was met before is named by its number. */
  #tensor(tensor: Tensor): void {
    const known = this.#tensors.get(tensor);
    this.facts('tensor', tensor.dtype, tensor.shape, known ?? null);
    if (known !== undefined) return;
    this.#tensors.set(tensor, this.#tensors.size);
    if (tensor instanceof StringTensor) this.facts(tensor.strings);
    else if (tensor instanceof PackedTensor) this.#packed(tensor);
    else if (tensor instanceof FileTensor) this.#file(tensor);
    else this.#hasher.update(tensor.bytes());
  }

  #packed({ facts }: PackedTensor): void {
    const { codes, scales, zeroPoints, method: _, ...rest } = facts;
    this.facts('packed', rest, zeroPoints !== null);
    this.#hasher.update(codes).update(new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength));
    if (zeroPoints) this.#hasher.update(zeroPoints);
  }

  #file(tensor: FileTensor): void {
    const buffer = new Uint8Array(Math.min(chunkBytes, tensor.byteLength));
    for (let begin = 0; begin < tensor.byteLength; begin += buffer.byteLength) {
      const chunk = buffer.subarray(0, Math.min(buffer.byteLength, tensor.byteLength - begin));
      tensor.readInto(chunk, begin);
      this.#hasher.update(chunk);
    }
  }
}

/**
 * BLAKE3 of what a program computes: its operators, names, blocks and the bytes of every constant. Texts for people,
 * derived types and metadata besides block numbers do not count.
 */
export const programFingerprint = (program: Program): string => {
  const hasher = new ProgramHasher();
  hasher.facts('program', [...program.opsets]);
  hasher.graph(program.graph);
  for (const { name, domain, overload, body } of program.functions) {
    hasher.facts('function', name, domain, overload);
    hasher.graph(body);
  }
  return hasher.hex();
};
