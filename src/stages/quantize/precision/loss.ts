import type { Site } from '../../../analysis/sites.ts';
import type { Node, Program, Value } from '../../../ir/graph.ts';
import { elementCount } from '../../../ir/shape.ts';
import { constantOf, nodesWithin } from '../../../ir/walk.ts';
import type { Finding } from '../../../recipe/events.ts';
import { type FloatTarget, rangeLoss } from './constants.ts';

/** Constants up to this size are parameters of arithmetic: one that vanishes as a whole is an epsilon. */
const smallConstant = 16;

export interface ConstantLosses {
  /** Nodes that a constant in the new type would break. */
  readonly kept: ReadonlyMap<Node, string>;
  readonly findings: readonly Finding[];
}

const isFloat32Constant = (value: Value | undefined): value is Value => constantOf(value)?.dtype === 'float32';

/**
 * What half precision does to constants. A small constant that would vanish (an epsilon) and a weight with numbers
 * beyond the range keep their node in float32; any other constant beyond the range (a mask of -3e38) is clamped to the
 * range's end, which the findings say.
 */
export const findConstantLosses = (
  program: Program,
  sites: readonly Site[],
  target: FloatTarget,
  isKept: (node: Node) => boolean,
): ConstantLosses => {
  const weights = new Set(sites.map((site) => site.weight));
  const kept = new Map<Node, string>();
  const clamped = new Map<Value, number>();
  for (const node of nodesWithin(program.graph)) {
    if (isKept(node)) continue;
    for (const value of node.inputs) {
      if (!isFloat32Constant(value)) continue;
      const tensor = constantOf(value)!;
      const loss = rangeLoss(tensor, target);
      if (loss.vanishing > 0 && loss.vanishing === loss.nonZero && elementCount(tensor.shape) <= smallConstant)
        kept.set(node, `constant ${value.name} would vanish in ${target}`);
      else if (loss.beyond > 0 && weights.has(value))
        kept.set(node, `weight ${value.name} has ${loss.beyond} numbers beyond ${target}`);
      else if (loss.beyond > 0) clamped.set(value, loss.beyond);
    }
  }
  const findings: Finding[] = [...clamped].map(([value, count]) => ({
    kind: 'warning',
    text: `${count} number${count === 1 ? '' : 's'} of constant ${value.name} clamped to the range of ${target}`,
  }));
  for (const [node, reason] of kept)
    findings.push({
      kind: 'warning',
      text: `kept in float32: ${reason}`,
      site: node.name || (node.outputs[0]?.name ?? node.op),
    });
  return { kept, findings };
};
