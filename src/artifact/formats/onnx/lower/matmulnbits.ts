import { type NameSource, nameSource } from '../../../../ir/edit/names.ts';
import { type Graph, intAttribute, Node, type Program, type Use, Value } from '../../../../ir/graph.ts';
import type { PackedFacts } from '../../../../ir/packed-tensor.ts';
import { intTensor } from '../../../../ir/read.ts';
import { DerivedTensor } from '../../../../ir/tensor.ts';
import { newestTarget, type Target } from '../target/target.ts';
import { type BlockForm, blockForm, blockSizeFor } from './block-form.ts';
import { lowerToBnb4 } from './bnb4.ts';
import { type PackedConstant, packedConstants, removeConstant } from './packed.ts';
import { lowerToQdq } from './qdq.ts';
import type { LoweredWeight, LoweringReport } from './report.ts';

const microsoft = 'com.microsoft';

export interface MatMulNBitsOptions {
  /**
   * Least precision that products may be computed in: 0 as the inputs are, 1 float32, 2 float16, 3 bfloat16, 4 int8
   * (activations rounded to 8 bits per block on the fly: fastest on CPUs, at a small loss).
   */
  readonly accuracyLevel: 0 | 1 | 2 | 3 | 4;
  /** What the runtime has operators for; other weights go the way of `lowerToQdq`. Default: everything. */
  readonly target?: Pick<Target, 'productBits' | 'lookupBits'>;
}

/** Operators a constant's reads turn into. */
interface Uses {
  /** MatMul and Gemm nodes. */
  readonly products: readonly Node[];
  /** Gather nodes. */
  readonly lookups: readonly Node[];
}

const isPlainTranspose = (node: Node): boolean => {
  const permutation = node.ints('perm');
  return node.op === 'Transpose' && node.domain === '' && (!permutation || permutation.join() === '1,0');
};

/** A product of an activation with this operand as its weight, that one MatMulNBits (and an Add) can compute. */
const isProduct = ({ node, index }: Use, layout: PackedFacts['layout']): boolean => {
  if (node.domain !== '' || index !== 1 || node.inputs[0] === node.inputs[1]) return false;
  if (node.op === 'MatMul') return layout === 'rows-last';
  if (node.op !== 'Gemm' || node.int('transA', 0) !== 0) return false;
  const scaled = node.float('alpha', 1) !== 1 || (node.inputs[2] !== undefined && node.float('beta', 1) !== 1);
  return !scaled && layout === (node.int('transB', 0) === 1 ? 'rows-first' : 'rows-last');
};

const isLookup = ({ node, index }: Use, layout: PackedFacts['layout']): boolean =>
  node.op === 'Gather' && node.domain === '' && index === 0 && node.int('axis', 0) === 0 && layout === 'rows-first';

/** The uses that have a block-wise operator; others go on reading the constant. */
const classify = (constant: PackedConstant): Uses => {
  const { facts } = constant.tensor;
  const products: Node[] = [];
  const lookups: Node[] = [];
  if (facts.shape.length !== 2) return { products, lookups };
  for (const use of constant.value.uses) {
    if (isProduct(use, facts.layout)) products.push(use.node);
    else if (isLookup(use, facts.layout)) lookups.push(use.node);
    else if (isPlainTranspose(use.node) && facts.layout === 'rows-first')
      for (const outer of use.node.outputs[0]?.uses ?? []) if (isProduct(outer, 'rows-last')) products.push(outer.node);
  }
  return { products, lookups };
};

/** Constants of a block form, as values of the graph that held the weight. */
interface FormValues {
  readonly form: BlockForm;
  readonly codes: Value;
  readonly scales: Value;
  readonly zeroPoints: Value | undefined;
}

/** Shape of the codes as lookups read them. */
const matrixShape = ({ rows, columns, storedBits }: PackedFacts): [number, number] => [
  rows,
  (columns * storedBits) / 8,
];

/** `codesAs`: in blocks, as products read them, or as a matrix, as lookups do. */
const addForm = (
  constant: PackedConstant,
  blockSize: number,
  codesAs: 'blocks' | 'matrix',
  names: NameSource,
): FormValues => {
  const blocks = blockForm(constant.tensor, blockSize);
  const { graph, value } = constant;
  const shape = matrixShape(constant.tensor.facts);
  const form =
    codesAs === 'blocks' ? blocks : { ...blocks, codes: new DerivedTensor('uint8', shape, () => blocks.codes.bytes()) };
  const add = (suffix: string, tensor: BlockForm['codes']): Value =>
    graph.addInitializer(names.fresh(`${value.name}_${suffix}`), tensor);
  return {
    form,
    codes: add(`Q${form.bits}`, form.codes),
    scales: add('scales', form.scales),
    zeroPoints: form.zeroPoints ? add('zero_points', form.zeroPoints) : undefined,
  };
};

/** Puts `made` in the place of `node`: its name, metadata, position and first output. */
const takePlace = (made: Node, node: Node, graph: Graph): void => {
  const output = node.outputs[0];
  for (const [key, text] of node.metadata) made.metadata.set(key, text);
  graph.insert(made, node);
  graph.remove(node);
  made.setOutput(0, output);
};

const lowerProduct = (node: Node, facts: PackedFacts, values: FormValues, level: number, names: NameSource): void => {
  const graph = node.graph!;
  const bias = node.op === 'Gemm' ? node.inputs[2] : undefined;
  const product = new Node({
    op: 'MatMulNBits',
    domain: microsoft,
    name: node.name,
    inputs: [node.inputs[0], values.codes, values.scales, ...(values.zeroPoints ? [values.zeroPoints] : [])],
    outputs: [],
    attributes: {
      K: intAttribute(facts.columns),
      N: intAttribute(facts.rows),
      bits: intAttribute(values.form.bits),
      block_size: intAttribute(values.form.blockSize),
      ...(level === 0 ? {} : { accuracy_level: intAttribute(level) }),
    },
  });
  if (!bias) {
    takePlace(product, node, graph);
    return;
  }
  const output = node.outputs[0]!;
  const sum = new Value(names.fresh(`${output.name}_product`), output.type);
  product.setOutput(0, sum);
  for (const [key, text] of node.metadata) product.metadata.set(key, text);
  graph.insert(product, node);
  takePlace(
    new Node({ op: 'Add', inputs: [sum, bias], outputs: [], name: names.fresh(`${node.name}_bias`) }),
    node,
    graph,
  );
};

/** Rows looked up in codes: `data` is (rows, columns * bits / 8). */
const lowerLookup = (node: Node, data: Value, values: FormValues): void => {
  takePlace(
    new Node({
      op: 'GatherBlockQuantized',
      domain: microsoft,
      name: node.name,
      inputs: [data, node.inputs[1], values.scales, ...(values.zeroPoints ? [values.zeroPoints] : [])],
      outputs: [],
      attributes: {
        bits: intAttribute(values.form.bits),
        block_size: intAttribute(values.form.blockSize),
        gather_axis: intAttribute(0),
        quantize_axis: intAttribute(1),
      },
    }),
    node,
    node.graph!,
  );
};

/** The codes of a form as a matrix: a Reshape of the constant that products read (onnxruntime folds it when loading). */
const codesAsMatrix = (constant: PackedConstant, values: FormValues, names: NameSource): Value => {
  const { graph, value } = constant;
  const dims = matrixShape(constant.tensor.facts);
  const shape = graph.addInitializer(names.fresh(`${value.name}_shape`), intTensor([2], dims));
  const matrix = new Value(names.fresh(`${value.name}_rows`));
  graph.insert(new Node({ op: 'Reshape', inputs: [values.codes, shape], outputs: [matrix] }), graph.nodes[0]);
  return matrix;
};

/** Lookup tables are read by whole blocks, so that codes need no cutting. */
const lowerConstant = (constant: PackedConstant, options: MatMulNBitsOptions, names: NameSource): LoweredWeight[] => {
  const { facts } = constant.tensor;
  const { productBits, lookupBits } = options.target ?? newestTarget;
  const found = classify(constant);
  const products = productBits.includes(facts.storedBits) ? found.products : [];
  const lookups = lookupBits.includes(facts.storedBits) ? found.lookups : [];
  const wholeSize = blockSizeFor(facts, 'whole');
  const lowerLookups = lookups.length > 0 && wholeSize !== undefined;
  const size = lowerLookups ? wholeSize : blockSizeFor(facts, 'padded');
  if (size === undefined || (products.length === 0 && !lowerLookups)) return [];
  const shared = products.length > 0;
  const values = addForm(constant, size, shared ? 'blocks' : 'matrix', names);
  const lowered = { weight: constant.value.name, bits: facts.storedBits, blockSize: size };
  const done: LoweredWeight[] = [];
  if (lowerLookups) {
    const data = shared ? codesAsMatrix(constant, values, names) : values.codes;
    for (const node of lookups) lowerLookup(node, data, values);
    done.push({ ...lowered, form: 'GatherBlockQuantized' });
  }
  for (const node of products) lowerProduct(node, facts, values, options.accuracyLevel, names);
  if (products.length > 0) done.push({ ...lowered, form: 'MatMulNBits' });
  return done;
};

/** Removes the Transpose nodes of tied heads and the constants that nothing reads any more. */
const sweep = (constant: PackedConstant): void => {
  const { value, graph } = constant;
  for (const { node } of value.uses)
    if (isPlainTranspose(node) && node.outputs[0]?.uses.length === 0 && !node.graph?.outputs.includes(node.outputs[0]))
      node.graph?.remove(node);
  if (value.uses.length === 0 && !graph.outputs.includes(value)) removeConstant(constant);
};

/**
 * Turns packed weights into com.microsoft MatMulNBits (MatMul, Gemm) and GatherBlockQuantized (embeddings), in place;
 * a table tied to a head shares its codes with it; weights of NormalFloat become MatMulBnb4. What these cannot carry (convolutions, recurrent layers, groups
 * that no power of two divides) goes the way of `lowerToQdq`. Work on a copy: the program keeps nothing packed.
 */
export const lowerToMatMulNBits = (program: Program, options: MatMulNBitsOptions): LoweringReport => {
  const names = nameSource(program.graph);
  const weights: LoweredWeight[] = lowerToBnb4(program);
  for (const constant of packedConstants(program)) {
    weights.push(...lowerConstant(constant, options, names));
    sweep(constant);
  }
  if (weights.length > 0 && !program.opsets.has(microsoft)) program.opsets.set(microsoft, 1);
  const rest = lowerToQdq(program);
  return { weights: [...weights, ...rest.weights], findings: rest.findings };
};
