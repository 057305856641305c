import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, type Node, type Value } from '../../ir/graph.ts';
import { shapeOf } from '../broadcast.ts';
import { type Decomposition, refuse } from './decomposition.ts';

type Activation = (build: OperatorBuilder, x: Value) => Value;

const activations: Readonly<Record<string, Activation>> = Object.fromEntries(
  ['Sigmoid', 'Tanh', 'Relu', 'Softsign', 'Softplus'].map((op) => [
    op.toLowerCase(),
    (build: OperatorBuilder, x: Value) => build.call(op, [x]),
  ]),
);

/** Everything of an LSTM or GRU that its unrolled form needs, for one direction. */
interface Direction {
  /** Input steps in the order in which this direction reads them: (batch, input) each. */
  readonly steps: readonly Value[];
  /** (input, gates·hidden) and (hidden, gates·hidden), ready to multiply from the right. */
  readonly inputWeights: Value;
  readonly hiddenWeights: Value;
  /** (gates·hidden) biases of the input and of the recurrent part; undefined for none. */
  readonly inputBias: Value | undefined;
  readonly hiddenBias: Value | undefined;
  readonly initialHidden: Value | undefined;
  readonly initialCell: Value | undefined;
  /** Peephole weights i, o, f (hidden) each. */
  readonly peepholes: readonly Value[] | undefined;
  readonly functions: readonly Activation[];
  readonly hidden: number;
}

interface DirectionResult {
  /** Hidden states in reading order: (batch, hidden) each. */
  readonly states: readonly Value[];
  readonly lastCell: Value | undefined;
}

/** The part `index` of `count` equal parts of a (batch, count·size) value. */
const part = (build: OperatorBuilder, value: Value, index: number, size: number): Value =>
  build.call('Slice', [
    value,
    build.integers([index * size]),
    build.integers([(index + 1) * size]),
    build.integers([-1]),
  ]);

const affine = (build: OperatorBuilder, x: Value, weights: Value, bias: Value | undefined): Value => {
  const product = build.call('MatMul', [x, weights]);
  return bias ? build.add(product, bias) : product;
};

/** Long short-term memory (Hochreiter, Schmidhuber 1997) with ONNX's gate order i, o, f, c. */
const unrollLstm = (build: OperatorBuilder, direction: Direction): DirectionResult => {
  const { steps, hidden, functions, peepholes } = direction;
  const [gate, candidate, output] = functions as [Activation, Activation, Activation];
  let state = direction.initialHidden;
  let cell = direction.initialCell;
  const states: Value[] = [];
  const peep = (gates: Value, index: number, at: Value | undefined): Value =>
    peepholes && at ? build.add(gates, build.multiply(peepholes[index]!, at)) : gates;
  for (const x of steps) {
    let all = affine(build, x, direction.inputWeights, direction.inputBias);
    if (state) all = build.add(all, affine(build, state, direction.hiddenWeights, direction.hiddenBias));
    else if (direction.hiddenBias) all = build.add(all, direction.hiddenBias);
    const [i, o, f, c] = [0, 1, 2, 3].map((index) => part(build, all, index, hidden)) as [Value, Value, Value, Value];
    const input = gate(build, peep(i, 0, cell));
    const forget = gate(build, peep(f, 2, cell));
    const fresh = build.multiply(input, candidate(build, c));
    cell = cell ? build.add(build.multiply(forget, cell), fresh) : fresh;
    state = build.multiply(gate(build, peep(o, 1, cell)), output(build, cell));
    states.push(state);
  }
  return { states, lastCell: cell };
};

/** Gated recurrent unit (Cho et al. 2014) with ONNX's gate order z, r, h. */
const unrollGru =
  (linearBeforeReset: 'reset-first' | 'linear-first') =>
  (build: OperatorBuilder, direction: Direction): DirectionResult => {
    const { steps, hidden, functions } = direction;
    const [gate, candidate] = functions as [Activation, Activation];
    const states: Value[] = [];
    let state = direction.initialHidden;
    const weightsOf = (first: number, last: number): Value =>
      build.call('Slice', [
        direction.hiddenWeights,
        build.integers([first * hidden]),
        build.integers([last * hidden]),
        build.integers([1]),
      ]);
    const biasOf = (first: number, last: number): Value | undefined =>
      direction.hiddenBias &&
      build.call('Slice', [
        direction.hiddenBias,
        build.integers([first * hidden]),
        build.integers([last * hidden]),
        build.integers([0]),
      ]);
    for (const x of steps) {
      const fromInput = affine(build, x, direction.inputWeights, direction.inputBias);
      const [xz, xr, xh] = [0, 1, 2].map((index) => part(build, fromInput, index, hidden)) as [Value, Value, Value];
      const recurrent = (first: number, last: number, of: Value | undefined): Value | undefined =>
        of ? affine(build, of, weightsOf(first, last), biasOf(first, last)) : biasOf(first, last);
      const sum = (a: Value, b: Value | undefined): Value => (b ? build.add(a, b) : a);
      const update = gate(build, sum(xz, recurrent(0, 1, state)));
      const reset = gate(build, sum(xr, recurrent(1, 2, state)));
      const inner =
        linearBeforeReset === 'linear-first'
          ? recurrent(2, 3, state) && build.multiply(reset, recurrent(2, 3, state)!)
          : recurrent(2, 3, state && build.multiply(reset, state));
      const fresh = candidate(build, sum(xh, inner));
      const kept = build.multiply(build.subtract(build.scalarLike(1, update), update), fresh);
      state = state ? build.add(kept, build.multiply(update, state)) : kept;
      states.push(state);
    }
    return { states, lastCell: undefined };
  };

/** Elman's network: one activation of the input and the last state. */
const unrollRnn = (build: OperatorBuilder, direction: Direction): DirectionResult => {
  const [activation] = direction.functions as [Activation];
  const states: Value[] = [];
  let state = direction.initialHidden;
  for (const x of direction.steps) {
    const fromInput = affine(build, x, direction.inputWeights, direction.inputBias);
    const fromState = state
      ? affine(build, state, direction.hiddenWeights, direction.hiddenBias)
      : direction.hiddenBias;
    state = activation(build, fromState ? build.add(fromInput, fromState) : fromInput);
    states.push(state);
  }
  return { states, lastCell: undefined };
};

const gateCount = { LSTM: 4, GRU: 3, RNN: 1 } as const;
const defaultFunctions = { LSTM: ['Sigmoid', 'Tanh', 'Tanh'], GRU: ['Sigmoid', 'Tanh'], RNN: ['Tanh'] } as const;

const unrolled = (node: Node): ((build: OperatorBuilder, direction: Direction) => DirectionResult) => {
  if (node.op === 'LSTM') return unrollLstm;
  if (node.op === 'RNN') return unrollRnn;
  return unrollGru(node.int('linear_before_reset', 0) === 1 ? 'linear-first' : 'reset-first');
};

/**
 * The same outputs as an LSTM, GRU or RNN node, computed by elementary operators step by step. The number of steps must be
 * known; sequence lengths a batch item, clipping and activations with parameters are not supported.
 * @returns the values that stand for outputs 0 (all states), 1 (last state) and 2 (last cell).
 */
export const unrollRecurrent: Decomposition = (node, build) => {
  const op = node.op as keyof typeof gateCount;
  const [x, w, r, b, lengths, h0, c0, p] = node.inputs;
  const timeMajor = node.int('layout', 0) === 0;
  const count = shapeOf(x!)?.[timeMajor ? 0 : 1];
  if (typeof count !== 'number')
    return refuse(node, 'has an unknown number of steps', 'Give the model a fixed sequence length.');
  if (lengths) return refuse(node, 'has sequence lengths', 'Drop the input sequence_lens, or pad outside the model.');
  if (node.float('clip') !== undefined) return refuse(node, 'clips its gates', 'Export the model without clipping.');
  const hidden = node.int('hidden_size') ?? Number(shapeOf(r!)?.[2]);
  const directions = node.text('direction') === 'bidirectional' ? 2 : 1;
  const names = node.attributes.get('activations');
  const words = names?.kind === 'strings' ? names.value.map((bytes) => new TextDecoder().decode(bytes)) : undefined;
  const wanted = words ?? Array.from({ length: directions }, () => defaultFunctions[op]).flat();
  const functions = wanted.map(
    (word) =>
      activations[word.toLowerCase()] ??
      refuse(node, `uses the activation ${word}`, 'Only Sigmoid, Tanh, Relu, Softsign and Softplus are known.'),
  );
  const timeAxis = timeMajor ? 0 : 1;
  const squeezed = (value: Value, axis: number, index: number): Value =>
    build.call('Gather', [value, build.scalar(index, 'int64')], { axis: intAttribute(axis) });
  const steps = Array.from({ length: count }, (_, step) => squeezed(x!, timeAxis, step));
  const stateAxis = timeMajor ? 0 : 1;
  const gates = gateCount[op];
  const run = unrolled(node);
  const results = Array.from({ length: directions }, (_, index) => {
    const backward = index === 1 || node.text('direction') === 'reverse';
    const bias = b && squeezed(b, 0, index);
    const half = (which: number): Value | undefined =>
      bias &&
      build.call('Slice', [
        bias,
        build.integers([which * gates * hidden]),
        build.integers([(which + 1) * gates * hidden]),
        build.integers([0]),
      ]);
    const peephole = p && squeezed(p, 0, index);
    const result = run(build, {
      steps: backward ? [...steps].reverse() : steps,
      inputWeights: build.transpose(squeezed(w!, 0, index), [1, 0]),
      hiddenWeights: build.transpose(squeezed(r!, 0, index), [1, 0]),
      inputBias: half(0),
      hiddenBias: half(1),
      initialHidden: h0 && squeezed(h0, stateAxis, index),
      initialCell: c0 && squeezed(c0, stateAxis, index),
      peepholes:
        peephole &&
        [0, 1, 2].map((which) =>
          build.call('Slice', [
            peephole,
            build.integers([which * hidden]),
            build.integers([(which + 1) * hidden]),
            build.integers([0]),
          ]),
        ),
      functions: functions.slice(index * (functions.length / directions)),
      hidden,
    });
    return { ...result, ordered: backward ? [...result.states].reverse() : result.states };
  });
  const stack = (values: readonly Value[], axis: number): Value =>
    build.call(
      'Concat',
      values.map((value) => build.call('Unsqueeze', [value, build.integers([axis])])),
      { axis: intAttribute(axis) },
    );
  /** (batch, directions, hidden) a step, then steps on the time axis: [T, D, B, H] or, batch first, [B, T, D, H]. */
  const perStep = steps.map((_, step) =>
    stack(
      results.map((result) => result.ordered[step]!),
      timeMajor ? 0 : 1,
    ),
  );
  const last = (pick: (result: (typeof results)[number]) => Value): Value => stack(results.map(pick), stateAxis);
  return [
    node.outputs[0] && stack(perStep, timeAxis),
    node.outputs[1] && last((result) => result.states.at(-1)!),
    node.outputs[2] && last((result) => result.lastCell!),
  ];
};
