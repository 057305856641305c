import { siteTensor } from '../../../../analysis/site-weights.ts';
import type { Site } from '../../../../analysis/sites.ts';
import { nameSource } from '../../../../ir/edit/names.ts';
import { insertNode, outputOf, setConstant } from '../../../../ir/edit/replace.ts';
import { intAttribute, intsAttribute, type Node, type Program, type Value } from '../../../../ir/graph.ts';
import { inferFacts } from '../../../../ir/inference/infer.ts';
import { arrayOfMatrix } from '../../../../ir/matrix-layout.ts';
import { blockKey } from '../../../../ir/model.ts';
import { intTensor, readFloats, readInts, tensorOf } from '../../../../ir/read.ts';
import { elementCount } from '../../../../ir/shape.ts';
import { constantOf } from '../../../../ir/walk.ts';
import { type AttentionPath, targetOf } from './attention.ts';

type Facts = ReturnType<typeof inferFacts>['facts'];

/** Replaces a site's weight by a matrix (rows, columns) of any size. */
export const setMatrix = (site: Site, matrix: Float64Array, rows: number, columns: number): void => {
  const shape = site.layout === 'rows-last' ? [columns, rows] : [rows, columns];
  const array = arrayOfMatrix(Float32Array.from(matrix), shape, site.layout);
  setConstant(site.weight, tensorOf(siteTensor(site).dtype, shape, array));
};

const setInts = (program: Program, node: Node, index: number, ints: readonly number[]): void => {
  const name = nameSource(program.graph).fresh(`${node.name || node.op}/lengths`);
  node.setInput(index, program.graph.addInitializer(name, intTensor([ints.length], ints)));
};

/** The lengths that a Split halves its input into; undefined where it divides otherwise. */
const halvesOf = (node: Node): number[] | undefined => {
  const lengths = constantOf(node.inputs[1]);
  const sizes = lengths ? readInts(lengths) : undefined;
  return node.outputs.length === 2 && sizes?.length === 2 && sizes[0] === sizes[1] ? sizes : undefined;
};

const reshapeObstacle = (node: Node, { heads, size }: AttentionPath): string | undefined => {
  const last = targetOf(node)?.at(-1);
  if (last === undefined) return 'the lengths of a Reshape are computed';
  return [0, -1, size, heads * size].includes(last) ? undefined : `a Reshape makes rows of ${last}`;
};

const splitObstacle = (node: Node, { size }: AttentionPath): string | undefined =>
  halvesOf(node)?.[0] === size / 2 ? undefined : 'a Split does not halve the heads';

/** How an operand beside a path is cut: a number is not, a vector has an element a row, a table one a dimension. */
const operandKind = (
  value: Value,
  { heads, size }: AttentionPath,
  facts: Facts,
): 'number' | 'vector' | 'table' | undefined => {
  const constant = constantOf(value);
  if (constant && elementCount(constant.shape) === 1) return 'number';
  if (constant && constant.shape.at(-1) === heads * size && elementCount(constant.shape) === heads * size)
    return 'vector';
  const type = facts.get(value)?.type ?? value.type;
  const shape = type?.kind === 'tensor' ? type.shape : undefined;
  return shape?.length === 2 && shape[1] === size ? 'table' : undefined;
};

/** Why the heads of a path cannot become narrower; undefined where they can. */
export const pathObstacle = (path: AttentionPath, facts: Facts): string | undefined => {
  for (const node of path.nodes) {
    const why =
      node.op === 'Reshape' ? reshapeObstacle(node, path) : node.op === 'Split' ? splitObstacle(node, path) : undefined;
    if (why) return why;
  }
  const strange = operandsOf(path).find(({ value }) => operandKind(value, path, facts) === undefined);
  return strange && `${strange.value.name} meets the heads, and is no table of positions`;
};

/** Rewrites the last length that a Reshape gives, where it is that of a head or of all heads together. */
const narrowReshape = (program: Program, node: Node, { heads, size }: AttentionPath, to: number): void => {
  const target = targetOf(node)!;
  const last = target.at(-1)!;
  if (last === 0 || last === -1) return;
  setInts(program, node, 1, [...target.slice(0, -1), last === size ? to : heads * to]);
};

/** Rewrites the lengths that the nodes of a path hold, so that its heads have `to` dimensions. */
export const narrowPath = (program: Program, path: AttentionPath, to: number): void => {
  for (const node of path.nodes) {
    if (node.op === 'Reshape') narrowReshape(program, node, path, to);
    if (node.op === 'Split') setInts(program, node, 1, [to / 2, to / 2]);
  }
};

/** Operands of a path's products and sums that are not computed from its site: tables, scales, biases. */
const operandsOf = ({ nodes, site }: AttentionPath): { node: Node; index: number; value: Value }[] => {
  const own = new Set<Value>([
    site.output,
    ...[...nodes].flatMap((node) => node.outputs.filter((value) => value !== undefined)),
  ]);
  return [...nodes].flatMap((node) =>
    node.op === 'Mul' || node.op === 'Add' || node.op === 'Div'
      ? node.inputs.flatMap((value, index) => (value && !own.has(value) ? [{ node, index, value }] : []))
      : [],
  );
};

/**
 * Makes what queries or keys are multiplied by and added to fit the dimensions that stay: constants (a bias a row) are
 * cut, tables of positions (positions, size) become (heads, positions, kept).
 * @param kept dimensions that stay of each head
 */
export const selectOperands = (program: Program, path: AttentionPath, kept: readonly (readonly number[])[]): void => {
  const { facts } = inferFacts(program);
  const { graph } = program;
  const { heads, size, site } = path;
  const to = kept[0]!.length;
  const rows = kept.flatMap((dimensions, head) => dimensions.map((dimension) => head * size + dimension));
  for (const { node, index, value } of operandsOf(path)) {
    const constant = constantOf(value);
    const kind = operandKind(value, path, facts);
    if (kind === 'number') continue;
    if (constant && kind === 'vector') {
      const floats = readFloats(constant);
      const name = nameSource(graph).fresh(`${value.name}/kept`);
      const shape = [...constant.shape.slice(0, -1), rows.length];
      node.setInput(
        index,
        graph.addInitializer(
          name,
          tensorOf(
            constant.dtype,
            shape,
            rows.map((row) => floats[row]!),
          ),
        ),
      );
      continue;
    }
    const base = `${node.name || node.op}/positions`;
    const numbers = (label: string, ints: readonly number[]): Value =>
      graph.addInitializer(nameSource(graph).fresh(`${base}.${label}`), intTensor([ints.length], ints));
    const place = { graph, before: node };
    const gathered = insertNode(
      {
        op: 'Gather',
        inputs: [value, numbers('kept', kept.flat())],
        outputs: [`${base}/gathered`],
        attributes: { axis: intAttribute(1) },
      },
      place,
    );
    const divided = insertNode(
      { op: 'Reshape', inputs: [outputOf(gathered), numbers('heads', [0, heads, to])], outputs: [`${base}/divided`] },
      place,
    );
    const turned = insertNode(
      {
        op: 'Transpose',
        inputs: [outputOf(divided)],
        outputs: [`${base}/turned`],
        attributes: { perm: intsAttribute([1, 0, 2]) },
      },
      place,
    );
    const block = site.node.metadata.get(blockKey);
    if (block !== undefined) for (const made of [gathered, divided, turned]) made.metadata.set(blockKey, block);
    node.setInput(index, outputOf(turned));
  }
};

/** The bias of a Gemm, cut to rows. */
export const selectGemmBias = (program: Program, { site }: AttentionPath, rows: readonly number[]): void => {
  const bias = site.op === 'Gemm' ? site.node.inputs[2] : undefined;
  const constant = constantOf(bias);
  if (!bias || !constant || elementCount(constant.shape) === 1) return;
  const floats = readFloats(constant);
  const name = nameSource(program.graph).fresh(`${bias.name}/kept`);
  const shape = [...constant.shape.slice(0, -1), rows.length];
  site.node.setInput(
    2,
    program.graph.addInitializer(
      name,
      tensorOf(
        constant.dtype,
        shape,
        rows.map((row) => floats[row]!),
      ),
    ),
  );
};

/** Whether anything but scales stands between a site and where its heads meet. */
export const isPlain = (path: AttentionPath): boolean =>
  operandsOf(path).every(({ value }) => {
    const constant = constantOf(value);
    return constant !== undefined && elementCount(constant.shape) === 1;
  }) && !(path.site.op === 'Gemm' && path.site.node.inputs[2]);
