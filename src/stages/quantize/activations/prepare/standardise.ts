import type { NameSource } from '../../../../ir/edit/names.ts';
import { replaceAllUses } from '../../../../ir/edit/replace.ts';
import { intsAttribute, type Node, type Program, type Value } from '../../../../ir/graph.ts';
import { floatTensor } from '../../../../ir/read.ts';
import { graphsWithin } from '../../../../ir/walk.ts';
import { NodeWriter } from '../node-writer.ts';

/** What a removed operator is written with. */
interface Rewriting {
  readonly node: Node;
  readonly input: Value;
  readonly writer: NodeWriter;
  /** A float32 constant of the node's graph. */
  constant(suffix: string, shape: readonly number[], numbers: readonly number[]): Value;
}

/** y = factor · x + term. */
const affine = ({ input, writer }: Rewriting, factor: Value, term: Value): Value => {
  const scaled = writer.add({ op: 'Mul', inputs: [input, factor], name: `${input.name}_scaled` });
  return writer.add({ op: 'Add', inputs: [scaled, term], name: `${input.name}_shifted` });
};

/** ImageScaler: scale · x + bias of the channel. */
const imageScaler = (rewriting: Rewriting): Value => {
  const { node, constant } = rewriting;
  const bias = node.floats('bias') ?? [];
  return affine(
    rewriting,
    constant('scale', [], [node.float('scale', 1)]),
    constant('bias', [1, bias.length, 1, 1], bias),
  );
};

/** Affine: alpha · x + beta. */
const affineOperator = (rewriting: Rewriting): Value => {
  const { node, constant } = rewriting;
  return affine(
    rewriting,
    constant('alpha', [], [node.float('alpha', 1)]),
    constant('beta', [], [node.float('beta', 0)]),
  );
};

/** The end of an axis, for Slice. */
const pastTheEnd = 2 ** 31 - 1;

/** Crop: left, top, right, bottom cut off, or a window of `scale` (height, width) from left, top. */
const crop = ({ node, input, writer }: Rewriting): Value => {
  const [left = 0, top = 0, right = 0, bottom = 0] = node.ints('border') ?? [];
  const size = node.ints('scale');
  const ends = size
    ? [top + (size[0] ?? 0), left + (size[1] ?? 0)]
    : [bottom === 0 ? pastTheEnd : -bottom, right === 0 ? pastTheEnd : -right];
  const attributes = {
    axes: intsAttribute([2, 3]),
    starts: intsAttribute([top, left]),
    ends: intsAttribute(ends),
  };
  return writer.add({ op: 'Slice', inputs: [input], attributes, name: `${input.name}_cropped` });
};

const rewrites: ReadonlyMap<string, (rewriting: Rewriting) => Value> = new Map([
  ['Affine', affineOperator],
  ['Crop', crop],
  ['ImageScaler', imageScaler],
]);

/**
 * Writes experimental operators that later operator sets have no more with standard ones of operator set 7 to 9, in
 * place. Returns how many were rewritten.
 */
export const standardise = (program: Program, names: NameSource): number => {
  let count = 0;
  for (const graph of graphsWithin(program.graph))
    for (const node of [...graph.nodes]) {
      const rewrite = node.domain === '' ? rewrites.get(node.op) : undefined;
      const [input] = node.inputs;
      const [output] = node.outputs;
      if (!rewrite || !input || !output) continue;
      const constant: Rewriting['constant'] = (suffix, shape, numbers) =>
        graph.addInitializer(names.fresh(`${output.name}_${suffix}`), floatTensor(shape, Float32Array.from(numbers)));
      const value = rewrite({ node, input, writer: new NodeWriter(names, graph, node), constant });
      if (output.type) value.type = output.type;
      replaceAllUses(output, value, { graph });
      graph.remove(node);
      count++;
    }
  return count;
};
