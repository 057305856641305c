import type { AxisRule, AxisRules } from '../axes.ts';

/** What a branch gives is what the node gives. */
const branches: AxisRule = (node, table) => {
  for (const body of node.subgraphs())
    body.outputs.forEach((inner, index) => {
      const outer = node.outputs[index];
      const rank = table.shape(inner)?.length ?? 0;
      if (table.shape(outer)?.length !== rank) table.blockAll(inner, 'branches give results of different shapes');
      for (let axis = 0; axis < rank; axis++) {
        if (table.at(outer, axis) === undefined) table.block(table.at(inner, axis), 'branches give different lengths');
        table.same(table.at(inner, axis), table.at(outer, axis));
      }
    });
};

/** States and slices of a loop are left as they are. */
const loop: AxisRule = (node, table) => {
  const reason = `it is carried through ${node.op}`;
  for (const value of [...node.inputs, ...node.outputs]) table.blockAll(value, reason);
  for (const body of node.subgraphs())
    for (const value of [...body.inputs, ...body.outputs]) table.blockAll(value, reason);
};

export const controlFlowRules: AxisRules = { If: branches, Loop: loop, Scan: loop };
