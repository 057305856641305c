import { type CodebookFacts, CodebookTensor } from '../../../../ir/codebook-tensor.ts';
import { type NameSource, nameSource } from '../../../../ir/edit/names.ts';
import { replaceAllUses } from '../../../../ir/edit/replace.ts';
import {
  type Attribute,
  type Graph,
  intAttribute,
  intsAttribute,
  Node,
  type Program,
  textAttribute,
  Value,
} from '../../../../ir/graph.ts';
import { roleKey } from '../../../../ir/model.ts';
import { intTensor, scalar, tensorOf } from '../../../../ir/read.ts';
import { DerivedTensor, type Tensor } from '../../../../ir/tensor.ts';
import { graphsWithin } from '../../../../ir/walk.ts';
import { packFlat } from '../../../../kernels/index.ts';
import { upgradeOpset } from './opset.ts';
import type { LoweredWeight } from './report.ts';

/** The operator set in which shapes and axes of what is written here are inputs and integers of one byte have Mod. */
const leastOpset = 13;

/** ONNX's numbers of types, for Cast. */
const castTo = { float32: 1, int32: 6, float16: 10, bfloat16: 16 } as const;

/** Writes nodes that compute from constants alone: runtimes compute them once, when they load the file. */
class ConstantWriter {
  readonly #graph: Graph;
  readonly #names: NameSource;
  readonly #name: string;
  readonly #before: Node | undefined;
  readonly #role: string | undefined;

  /** @param weight what is computed; nodes get the role of the product that reads it. */
  constructor(graph: Graph, names: NameSource, weight: Value) {
    this.#graph = graph;
    this.#names = names;
    this.#name = weight.name;
    this.#before = graph.nodes[0];
    this.#role = weight.uses.map(({ node }) => node.metadata.get(roleKey)).find((role) => role !== undefined);
  }

  constant(suffix: string, tensor: Tensor): Value {
    return this.#graph.addInitializer(this.#names.fresh(`${this.#name}_${suffix}`), tensor);
  }

  op(op: string, inputs: readonly Value[], attributes: Readonly<Record<string, Attribute>> = {}): Value {
    const output = new Value(this.#names.fresh(`${this.#name}_${op}_Output`));
    const name = this.#names.fresh(`${this.#name}_${op}`);
    const node = this.#graph.insert(new Node({ op, name, inputs, outputs: [output], attributes }), this.#before);
    if (this.#role !== undefined) node.metadata.set(roleKey, this.#role);
    return output;
  }
}

/** Some bits of every code, packed one after the other: a whole number of them in a byte. */
interface Plane {
  readonly shift: number;
  readonly bits: 1 | 2 | 4 | 8;
}

/** How codes are cut so that each plane fills its bytes: 3 bits are 2 and 1. */
const planesOf = (bits: number): Plane[] => {
  if (bits === 3)
    return [
      { shift: 0, bits: 2 },
      { shift: 2, bits: 1 },
    ];
  return [{ shift: 0, bits: bits as Plane['bits'] }];
};

/** One plane of all codes as int32, (count). */
const unpackedPlane = (writer: ConstantWriter, codes: Uint8Array, { shift, bits }: Plane): Value => {
  const perByte = 8 / bits;
  const length = Math.ceil(codes.length / perByte);
  const packed = new DerivedTensor('uint8', [length, 1], () =>
    packFlat(
      codes.map((code) => (code >> shift) & (2 ** bits - 1)),
      bits,
    ),
  );
  const stored = writer.constant(`codes_${bits}bit`, packed);
  const shifts = writer.constant(
    'shifts',
    tensorOf(
      'uint8',
      [perByte],
      Array.from({ length: perByte }, (_, index) => index * bits),
    ),
  );
  const shifted = writer.op('BitShift', [stored, shifts], { direction: textAttribute('RIGHT') });
  const cut = bits === 8 ? shifted : writer.op('Mod', [shifted, writer.constant('base', scalar(2 ** bits, 'uint8'))]);
  const flat = writer.op('Reshape', [cut, writer.constant('flat', intTensor([1], [-1]))]);
  const whole =
    length * perByte === codes.length
      ? flat
      : writer.op('Slice', [
          flat,
          writer.constant('start', intTensor([1], [0])),
          writer.constant('end', intTensor([1], [codes.length])),
        ]);
  return writer.op('Cast', [whole], { to: intAttribute(castTo.int32) });
};

/** All codes as int32, (count): planes put together again. */
const unpackedCodes = (writer: ConstantWriter, { codes, entries }: CodebookFacts): Value => {
  const planes = planesOf(Math.ceil(Math.log2(entries))).map((plane) => {
    const part = unpackedPlane(writer, codes, plane);
    if (plane.shift === 0) return part;
    return writer.op('Mul', [part, writer.constant('place', scalar(2 ** plane.shift, 'int32'))]);
  });
  return planes.reduce((sum, part) => writer.op('Add', [sum, part]));
};

/** The weight as codes that pick entries of the table of their row; tables are stored in half precision. */
const lowerTables = (writer: ConstantWriter, facts: CodebookFacts): Value => {
  const { rows, columns, entries, table, dtype, shape, layout } = facts;
  const tables = writer.constant('table', tensorOf('float16', [rows, entries], table));
  const matrixShape = writer.constant('matrix', intTensor([2], [rows, columns]));
  const codes = writer.op('Reshape', [unpackedCodes(writer, facts), matrixShape]);
  const picked = writer.op('GatherElements', [tables, codes], { axis: intAttribute(1) });
  const typed = dtype === 'float16' ? picked : writer.op('Cast', [picked], { to: intAttribute(castTo[dtype]) });
  if (layout === 'rows-last') return writer.op('Transpose', [typed], { perm: intsAttribute([1, 0]) });
  return shape.length === 2
    ? typed
    : writer.op('Reshape', [typed, writer.constant('shape', intTensor([shape.length], shape))]);
};

/** Whether a weight has tables of its rows alone, in an order of elements that a reshape gives. */
const isLowered = (tensor: Tensor | undefined): tensor is CodebookTensor =>
  tensor instanceof CodebookTensor &&
  tensor.facts.name === undefined &&
  tensor.facts.blockSize === 0 &&
  tensor.facts.layout !== 'rows-second';

/**
 * Turns weights of row tables into packed codes and tables of half precision behind GatherElements, in place. Everything
 * that is inserted depends on constants alone, so that a runtime holds the plain weight once it has loaded the file: the
 * form saves bytes on disk, not in memory.
 */
export const lowerCodebooks = (program: Program): LoweredWeight[] => {
  const done: LoweredWeight[] = [];
  const holders = [...graphsWithin(program.graph)].flatMap((graph) =>
    [...graph.initializers].filter(({ tensor }) => isLowered(tensor)).map((value) => ({ graph, value })),
  );
  if (holders.length === 0) return done;
  upgradeOpset(program, leastOpset);
  for (const { graph, value } of holders) {
    const { facts } = value.tensor as CodebookTensor;
    const writer = new ConstantWriter(graph, nameSource(graph), value);
    const result = lowerTables(writer, facts);
    result.type = value.type;
    replaceAllUses(value, result, { graph });
    graph.initializers.delete(value);
    done.push({
      weight: value.name,
      form: 'GatherElements',
      bits: Math.ceil(Math.log2(facts.entries)),
      blockSize: facts.columns,
    });
  }
  return done;
};
