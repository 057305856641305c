import type { Node, Program, Value } from '../ir/graph.ts';
import { readFloats } from '../ir/read.ts';
import { constantOf } from '../ir/walk.ts';
import { findSites, type Site } from './sites.ts';

/** A site whose output is added to a stream of activations, and the sum. */
export interface ResidualWriter {
  readonly site: Site;
  /** The stream after the site has written to it. */
  readonly stream: Value;
  /** What each output is multiplied by on its way into the stream (rows); undefined: 1. */
  readonly gains: Float64Array | undefined;
}

/** The axis of a site's output along which its rows lie, counted from the end for products. */
const rowsLieAlong = (site: Site, axisLength: number, rank: number): boolean =>
  site.op === 'Conv' || site.op === 'ConvTranspose'
    ? axisLength === site.rows && rank >= 3
    : axisLength === site.rows && rank <= 1;

/** A constant that differs from output to output at most, as one number a row. */
const perRow = (site: Site, value: Value | undefined): Float64Array | undefined => {
  const tensor = constantOf(value);
  if (!tensor) return undefined;
  const spread = tensor.shape.filter((length) => length !== 1);
  if (spread.length > 1) return undefined;
  if (spread.length === 0) return new Float64Array(site.rows).fill(readFloats(tensor)[0]!);
  const trailing = tensor.shape.length - tensor.shape.findIndex((length) => length !== 1);
  return rowsLieAlong(site, spread[0]!, trailing) ? Float64Array.from(readFloats(tensor)) : undefined;
};

/** The gains of a BatchNormalization in inference form. */
const normalizationGains = (node: Node): Float64Array | undefined => {
  const scale = constantOf(node.inputs[1]);
  const variance = constantOf(node.inputs[4]);
  if (!scale || !variance || node.int('training_mode', 0) !== 0) return undefined;
  const epsilon = node.float('epsilon', 1e-5);
  const [gamma, spread] = [readFloats(scale), readFloats(variance)];
  return Float64Array.from(gamma, (value, row) => value / Math.sqrt(spread[row]! + epsilon));
};

const scaled = (gains: Float64Array | undefined, by: Float64Array): Float64Array =>
  gains ? gains.map((gain, row) => gain * by[row]!) : by;

/** What a node does to the output of a site on its way: passes it on (scaled), adds it to a stream, or something else. */
type Passage =
  | { readonly kind: 'pass'; readonly output: Value; readonly gains?: Float64Array }
  | { readonly kind: 'join'; readonly stream: Value }
  | undefined;

const passageThrough = (node: Node, value: Value, site: Site): Passage => {
  const [output] = node.outputs;
  if (node.domain !== '' || !output) return undefined;
  if (node.op === 'Identity' || node.op === 'Dropout') return { kind: 'pass', output };
  if (node.op === 'BatchNormalization' && node.inputs[0] === value) {
    const gains = normalizationGains(node);
    return gains && { kind: 'pass', output, gains };
  }
  if (node.inputs.length !== 2) return undefined;
  const other = node.inputs[0] === value ? node.inputs[1] : node.inputs[0];
  if (node.op === 'Mul') {
    const gains = perRow(site, other);
    return gains && { kind: 'pass', output, gains };
  }
  if (node.op !== 'Add' || other === value) return undefined;
  return constantOf(other) ? { kind: 'pass', output } : { kind: 'join', stream: output };
};

/** The end of a chain of sums: one that nothing but another sum reads is a part of what is added to the stream. */
const lastSum = (sum: Value, site: Site): Value => {
  const { uses } = sum;
  const next = uses.length === 1 ? passageThrough(uses[0]!.node, sum, site) : undefined;
  return next?.kind === 'join' ? lastSum(next.stream, site) : sum;
};

/**
 * Sites that write to a residual stream: their output, with a bias, a normalisation with fixed statistics or a scale
 * on the way at most, is one of the operands of a sum of activations, and nothing else reads it.
 */
export const findResidualWriters = (program: Program): ResidualWriter[] => {
  const found: ResidualWriter[] = [];
  for (const site of findSites(program)) {
    if (site.graph !== program.graph) continue;
    let value: Value | undefined = site.output;
    let gains: Float64Array | undefined;
    while (value) {
      const { uses }: Value = value;
      const passage: Passage = uses.length === 1 ? passageThrough(uses[0]!.node, value, site) : undefined;
      if (passage?.kind === 'join') found.push({ site, stream: lastSum(passage.stream, site), gains });
      value = passage?.kind === 'pass' ? passage.output : undefined;
      if (passage?.kind === 'pass' && passage.gains) gains = scaled(gains, passage.gains);
    }
  }
  return found;
};
