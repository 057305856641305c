import { type Attribute, intAttribute, type Value } from '../../../../ir/graph.ts';
import type { Arrangement } from '../arrangement.ts';
import { type LayerBuilder, type LayerScope, optionsOf, refuse } from '../layer-scope.ts';
import { activationNamed } from './activation.ts';

/** Gates of a recurrent operator, by the number that they have in the layers' weights. */
const gateOrders = { LSTM: [0, 3, 1, 2], GRU: [0, 1, 2], RNN: [0] } as const;
type RecurrentOp = keyof typeof gateOrders;

/** ONNX's names of the activations that recurrent operators know. */
const operatorNames: Readonly<Record<string, string>> = {
  tanh: 'Tanh',
  sigmoid: 'Sigmoid',
  hard_sigmoid: 'HardSigmoid',
  relu: 'Relu',
  softsign: 'Softsign',
  softplus: 'Softplus',
};

const operatorActivation = (scope: LayerScope, key: string, fallback: string): string => {
  const { name } = activationNamed(scope, key, fallback);
  return operatorNames[name] ?? refuse(scope, `has the activation ${name}, which recurrent operators do not know`);
};

/** (inputs, gates · units) as (1, gates · units, inputs). */
const matrix =
  (op: RecurrentOp) =>
  (stored: readonly number[]): Arrangement => {
    const gates = gateOrders[op];
    const [inputs = 0, all = 0] = stored;
    const split = [inputs, gates.length, all / gates.length];
    return { stored, split, permutation: [1, 2, 0], gates, shape: [1, all, inputs] };
  };

/** (gates · units) as the first half of (1, 2 · gates · units). */
const bias =
  (op: RecurrentOp) =>
  (stored: readonly number[]): Arrangement => {
    const gates = gateOrders[op];
    const [all = 0] = stored;
    return {
      stored,
      split: [gates.length, all / gates.length],
      permutation: [0, 1],
      gates,
      zeros: all,
      shape: [1, 2 * all],
    };
  };

/** LSTM, GRU and SimpleRNN over (batch, steps, inputs): all states, or the last one. */
export const recurrent =
  (op: RecurrentOp): LayerBuilder =>
  (scope) => {
    const { build } = scope;
    const options = optionsOf(scope);
    if (options.flag('reset_after', false))
      return refuse(scope, 'resets after the product', 'tf.js knows no such GRU.');
    if (options.flag('stateful', false)) return refuse(scope, 'keeps its state from batch to batch');
    if (options.flag('return_state', false)) return refuse(scope, 'gives its state as a further output');
    const activation = operatorActivation(scope, 'activation', 'tanh');
    const gate = op === 'RNN' ? undefined : operatorActivation(scope, 'recurrent_activation', 'hard_sigmoid');
    const names = { LSTM: [gate, activation, activation], GRU: [gate, activation], RNN: [activation] }[op];
    const backward = options.flag('go_backwards', false);
    const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
    const attributes: Record<string, Attribute> = {
      hidden_size: intAttribute(options.number('units', 0)),
      activations: { kind: 'strings', value: names.map((name) => encode(name!)) },
      ...(backward ? { direction: { kind: 'string', value: encode('reverse') } } : {}),
    };
    const steps = build.transpose(scope.inputs[0]!, [1, 0, 2]);
    const inputs = [
      steps,
      scope.weight('kernel', matrix(op)),
      scope.weight('recurrent_kernel', matrix(op)),
      ...(options.flag('use_bias', true) ? [scope.weight('bias', bias(op))] : []),
    ];
    const [states, last] = build.calls(op, inputs, 2, attributes) as [Value, Value];
    if (!options.flag('return_sequences', false)) return build.call('Squeeze', [last, build.integers([0])]);
    const batchFirst = build.transpose(build.call('Squeeze', [states, build.integers([1])]), [1, 0, 2]);
    if (!backward) return batchFirst;
    // Layers give states in the order in which they were made; the operator in the order of the steps.
    const [begin, end, axis, step] = [-1, Number.MIN_SAFE_INTEGER, 1, -1].map((number) => build.integers([number]));
    return build.call('Slice', [batchFirst, begin, end, axis, step]);
  };
