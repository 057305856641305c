import { intAttribute } from '../../../ir/graph.ts';
import type { Axis, AxisRule, AxisRules } from '../axes.ts';

/** Gates of a cell, each as wide as the hidden state. */
const gateCounts: Readonly<Record<string, number>> = { LSTM: 4, GRU: 3, RNN: 1 };

/**
 * W (directions, gates × hidden, inputs), R (directions, gates × hidden, hidden), B (directions, 2 × gates × hidden),
 * states (directions, batch, hidden), Y (sequence, directions, batch, hidden). Both directions lose the same states.
 */
const recurrent: AxisRule = (node, table) => {
  const [x, w, r, bias, , h, c, peephole] = node.inputs;
  const [y, lastHidden, lastCell] = node.outputs;
  const gates = gateCounts[node.op] ?? 1;
  table.same(table.at(x, 2), table.at(w, 2));
  const hidden = table.at(r, 2);
  if (hidden === undefined) return;
  const size = table.size(hidden);
  const stacked = (whole: Axis | undefined, count: number): void =>
    table.concatenation(
      whole,
      Array.from({ length: count }, () => ({ axis: hidden, size })),
    );
  stacked(table.at(w, 1), gates);
  stacked(table.at(r, 1), gates);
  if (bias) stacked(table.at(bias, 1), 2 * gates);
  if (peephole) stacked(table.at(peephole, 1), 3);
  for (const state of [h, c, lastHidden, lastCell]) table.same(hidden, table.at(state, 2));
  table.same(hidden, table.at(y, -1));
  for (const value of [w, r, y, h, c, lastHidden, lastCell])
    for (const axis of [0, 1])
      if (table.at(value, axis) !== undefined && table.shape(value)?.[axis] === 2)
        table.block(table.at(value, axis), 'it is a direction of a recurrent layer');
  table.adjustments.push((view) => {
    const left = view.kept(hidden).length;
    if (node.attributes.has('hidden_size') && left !== size) node.setAttribute('hidden_size', intAttribute(left));
  });
};

export const recurrentRules: AxisRules = { LSTM: recurrent, GRU: recurrent, RNN: recurrent };
