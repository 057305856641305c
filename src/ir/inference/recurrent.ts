import type { Rule, RuleTable } from './call.ts';
import { tensorFact } from './fact.ts';

/**
 * X (sequence, batch, input), or (batch, sequence, input) with layout 1, W (directions, gates * hidden, input) →
 * Y (sequence, directions, batch, hidden), Y_h (directions, batch, hidden), Y_c likewise; batch first with layout 1.
 */
const recurrent: Rule = (call) => {
  const x = call.shapeOfRank(0, 3);
  const weights = call.shapeOfRank(1, 3);
  const dtype = call.dtype(0) ?? call.dtype(1);
  const bidirectional = call.node.text('direction') === 'bidirectional';
  const directions = weights?.[0] ?? (bidirectional ? 2 : 1);
  const hidden = call.node.int('hidden_size') ?? call.shape(2)?.[2] ?? null;
  const batchFirst = call.node.int('layout', 0) === 1;
  const [sequence, batch] = batchFirst ? [x?.[1] ?? null, x?.[0] ?? null] : [x?.[0] ?? null, x?.[1] ?? null];
  const state = tensorFact(dtype, batchFirst ? [batch, directions, hidden] : [directions, batch, hidden]);
  const all = tensorFact(
    dtype,
    batchFirst ? [batch, sequence, directions, hidden] : [sequence, directions, batch, hidden],
  );
  return [all, state, state];
};

export const recurrentRules: RuleTable = { LSTM: recurrent, GRU: recurrent, RNN: recurrent };
