import { readSiteMatrix, siteTensor, writeSiteMatrix } from '../../../analysis/site-weights.ts';
import { findSites, type Site } from '../../../analysis/sites.ts';
import { OperatorBuilder } from '../../../ir/build.ts';
import { setConstant } from '../../../ir/edit/replace.ts';
import type { Program, Value } from '../../../ir/graph.ts';
import { floatTensor, readFloats } from '../../../ir/read.ts';
import { constantOf } from '../../../ir/walk.ts';
import type { Finding } from '../../../recipe/events.ts';
import { type Rotation, rotateRows, rotationOf } from '../methods/hadamard.ts';

/** What rotating has done. */
export interface Rotated {
  /** Products that belong to rotations, not to the model: not to be rounded. */
  readonly products: readonly string[];
  readonly findings: readonly Finding[];
}

/** Matrix products in float32 whose constant nothing else reads. */
const canRotate = (site: Site): boolean =>
  (site.op === 'MatMul' || site.op === 'Gemm') &&
  siteTensor(site).dtype === 'float32' &&
  site.weight.uses.length === 1 &&
  site.node.inputs[site.weightIndex] === site.weight;

const rankOf = (value: Value): number | undefined =>
  value.type?.kind === 'tensor' ? value.type.shape?.length : undefined;

/** The matrix (n, rows) of a matrix (rows, n). */
const turned = (matrix: Float32Array, rows: number, n: number): Float32Array => {
  const result = new Float32Array(matrix.length);
  for (let row = 0; row < rows; row++) for (let at = 0; at < n; at++) result[at * rows + row] = matrix[row * n + at]!;
  return result;
};

/** A product, maybe with a constant vector added, that makes a value which only the given sites read. */
interface Maker {
  readonly site: Site;
  readonly bias: Value | undefined;
}

const makerOf = (
  value: Value,
  readers: readonly Site[],
  sites: readonly Site[],
  program: Program,
): Maker | undefined => {
  if (value.uses.length !== readers.length || program.graph.outputs.includes(value)) return undefined;
  const producer = value.producer;
  if (producer?.domain !== '') return undefined;
  const siteAt = (made: Value | undefined): Site | undefined =>
    sites.find((site) => site.output === made && canRotate(site));
  const direct = siteAt(value);
  if (direct?.op === 'MatMul') return { site: direct, bias: undefined };
  if (producer.op !== 'Add') return undefined;
  for (const [product, bias] of [producer.inputs, producer.inputs.toReversed()]) {
    const site = siteAt(product);
    const tensor = constantOf(bias);
    const alone = product?.uses.length === 1 && bias?.uses.length === 1;
    if (site?.op === 'MatMul' && alone && tensor?.dtype === 'float32' && tensor.shape.join() === `${site.rows}`)
      return { site, bias };
  }
  return undefined;
};

/** Rotates what a product makes: its rows, and the vector that is added. */
const fold = ({ site, bias }: Maker, rotation: Rotation): void => {
  const { rows, columns } = site;
  const rotated = rotateRows(turned(readSiteMatrix(site), rows, columns), rotation);
  writeSiteMatrix(site, turned(rotated, columns, rows));
  const tensor = constantOf(bias);
  if (bias && tensor) setConstant(bias, floatTensor([rows], rotateRows(readFloats(tensor), rotation)));
};

/** Nodes that rotate a value while the model runs; the rotated value, and the names of products among the nodes. */
const insertRotation = (
  value: Value,
  rank: number,
  rotation: Rotation,
  readers: readonly Site[],
): { made: Value; product: string } => {
  const { size, leftSize, rightSize, left, right, signs } = rotation;
  const [first] = readers as readonly [Site, ...Site[]];
  const build = new OperatorBuilder(first.graph, `${first.name}/rotation`, first.node);
  const kept = Array.from({ length: rank - 1 }, () => 0);
  const signed = build.multiply(value, build.floats([size], signs, 'float32'));
  const square = build.call('Reshape', [signed, build.integers([...kept, leftSize, rightSize])]);
  const between = build.call('MatMul', [build.floats([leftSize, leftSize], left, 'float32'), square]);
  const both = build.call('MatMul', [between, build.floats([rightSize, rightSize], right, 'float32')]);
  const made = build.call('Reshape', [both, build.integers([...kept, size])]);
  if (value.type) made.type = value.type;
  return { made, product: both.producer?.name ?? '' };
};

/**
 * Rotates the inputs of matrix products, and their weights with them, so that outputs stay as they are and no single
 * weight or input stands out: folded into the product that makes an input where there is one, computed beside the model
 * otherwise. The program is changed.
 * @param wanted products to rotate, of this program.
 */
export const rotateInputs = (program: Program, wanted: readonly Site[], seed: number): Rotated => {
  const sites = findSites(program);
  const names = new Set(wanted.map(({ name }) => name));
  const byInput = new Map<Value, Site[]>();
  for (const site of sites)
    if (names.has(site.name) && canRotate(site)) byInput.set(site.input, [...(byInput.get(site.input) ?? []), site]);
  const products: string[] = [];
  let folded = 0;
  for (const [value, readers] of byInput) {
    const [first] = readers as [Site, ...Site[]];
    const rank = rankOf(value);
    const rotation = rotationOf(first.columns, seed);
    const maker = makerOf(value, readers, sites, program);
    if (!maker && rank === undefined) continue;
    for (const site of readers) writeSiteMatrix(site, rotateRows(readSiteMatrix(site), rotation));
    if (maker) {
      fold(maker, rotation);
      folded++;
    } else {
      const { made, product } = insertRotation(value, rank!, rotation, readers);
      products.push(product);
      for (const { node } of readers)
        for (const [index, input] of node.inputs.entries()) if (input === value) node.setInput(index, made);
    }
  }
  const text = `rotated ${byInput.size} inputs of products: ${folded} folded into the product before, ${products.length} computed while running`;
  return { products, findings: [{ kind: 'fact', text }] };
};
