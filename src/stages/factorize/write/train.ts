import type { Site } from '../../../analysis/sites.ts';
import { internalError } from '../../../errors.ts';
import { freshName } from '../../../ir/edit/names.ts';
import { intsAttribute, Node, Value } from '../../../ir/graph.ts';
import { intTensor } from '../../../ir/read.ts';
import type { TrainCore, TrainShape } from '../methods/tensor-train.ts';
import { addConstant, dropWeight, insertBefore } from './place.ts';

/** Axes of a site's input before the one that is multiplied; undefined where they are not known. */
export const leadingAxes = (site: Site): number | undefined => {
  const { type } = site.input;
  return type?.kind === 'tensor' && type.shape ? type.shape.length - 1 : undefined;
};

/**
 * A core (before, rows, columns, after) as the matrix (what it reads, what it gives): the first one gives (before ·
 * rows · after) for a column digit, the others (rows · after) for (before · columns).
 */
const matrixOf = ({ before, rows, columns, after, data }: TrainCore, isFirst: boolean): Float64Array => {
  const matrix = new Float64Array(data.length);
  const width = isFirst ? before * rows * after : rows * after;
  let from = 0;
  for (let b = 0; b < before; b++)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++)
        for (let a = 0; a < after; a++) {
          const read = isFirst ? c : b * columns + c;
          const given = isFirst ? (b * rows + r) * after + a : r * after + a;
          matrix[read * width + given] = data[from++]!;
        }
  return matrix;
};

/** The last core of a ring (before, rows, columns, ends) as the matrix (ends · before · columns, rows). */
const closingMatrix = ({ before, rows, columns, after: ends, data }: TrainCore): Float64Array => {
  const matrix = new Float64Array(data.length);
  let from = 0;
  for (let b = 0; b < before; b++)
    for (let r = 0; r < rows; r++)
      for (let c = 0; c < columns; c++)
        for (let end = 0; end < ends; end++) matrix[((end * before + b) * columns + c) * rows + r] = data[from++]!;
  return matrix;
};

/** Nodes one after the other, before the node of a site. */
class Chain {
  readonly #site: Site;
  #steps = 0;
  #value: Value;

  constructor(site: Site) {
    this.#site = site;
    this.#value = site.input;
  }

  reshape(lengths: readonly number[], output?: Value): void {
    const { graph, name } = this.#site;
    const target = graph.addInitializer(freshName(graph, `${name}.lengths`), intTensor([lengths.length], lengths));
    this.#insert('Reshape', [target], { output });
  }

  transpose(perm: readonly number[]): void {
    this.#insert('Transpose', [], { perm });
  }

  multiply(matrix: Float64Array, [read, given]: readonly [number, number], suffix: string): void {
    const constant = addConstant(this.#site, matrix, [read, given], { layout: 'rows-first', suffix });
    this.#insert('MatMul', [constant], {});
  }

  add(bias: Value, output: Value): void {
    this.#insert('Add', [bias], { output });
  }

  #insert(
    op: string,
    others: readonly Value[],
    { perm, output }: { perm?: readonly number[]; output?: Value | undefined },
  ): void {
    const { graph, name, output: of } = this.#site;
    const suffix = `train.${this.#steps++}`;
    const made = output ?? new Value(freshName(graph, `${of.name}.${suffix}`));
    const node = new Node({
      op,
      name: freshName(graph, `${name}.${suffix}`),
      inputs: [this.#value, ...others],
      outputs: [made],
      ...(perm ? { attributes: { perm: intsAttribute(perm) } } : {}),
    });
    insertBefore(this.#site, node);
    this.#value = made;
  }
}

/**
 * Writes a product as the cores of a train or a ring, one after the other. Between them stands (…, outputs so far, rank
 * and digit of the input, rest of the input); each core reads the digit and gives a digit of the output and the next
 * rank. The index that closes a ring stands among the outputs until the last core sums over it. The output keeps its
 * name. @throws internal error when the rank of the input is not known.
 */
export const writeTrain = (site: Site, cores: readonly TrainCore[], { columns }: TrainShape): void => {
  const { node, rows, graph, output } = site;
  const lead = leadingAxes(site);
  if (lead === undefined) throw internalError('the rank of an input is not known', { site: site.name });
  const kept = Array.from({ length: lead }, () => 0);
  const axes = Array.from({ length: lead }, (_, axis) => axis);
  const ends = cores[0]!.before;
  const chain = new Chain(site);
  let outputs = 1;
  let rest = site.columns / columns[0]!;
  chain.reshape([...kept, 1, columns[0]!, rest]);
  for (const [at, core] of cores.slice(0, -1).entries()) {
    const isFirst = at === 0;
    const read = isFirst ? core.columns : core.before * core.columns;
    const digit = isFirst ? ends * core.rows : core.rows;
    chain.transpose([...axes, lead, lead + 2, lead + 1]);
    chain.multiply(matrixOf(core, isFirst), [read, digit * core.after], `core${at}`);
    chain.reshape([...kept, outputs, rest, digit, core.after]);
    chain.transpose([...axes, lead, lead + 2, lead + 3, lead + 1]);
    outputs *= digit;
    rest /= columns[at + 1]!;
    chain.reshape([...kept, outputs, core.after * columns[at + 1]!, rest]);
  }
  const last = cores.at(-1)!;
  const read = last.before * last.columns;
  if (ends > 1) {
    chain.reshape([...kept, ends, outputs / ends, read]);
    chain.transpose([...axes, lead + 1, lead, lead + 2]);
  }
  chain.reshape([...kept, outputs / ends, ends * read]);
  chain.multiply(closingMatrix(last), [ends * read, last.rows], `core${cores.length - 1}`);
  const bias = site.op === 'Gemm' ? node.inputs[2] : undefined;
  node.setOutput(0, new Value(freshName(graph, `${output.name}.whole`)));
  chain.reshape([...kept, rows], bias ? undefined : output);
  if (bias) chain.add(bias, output);
  graph.remove(node);
  dropWeight(site);
};
