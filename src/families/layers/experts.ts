import { intAttribute, type Value } from '../../ir/graph.ts';
import type { Tensor } from '../../ir/tensor.ts';
import type { GraphBuilder } from '../builder.ts';
import type { ExpertMlp } from '../decoder-config.ts';
import { rangeOf } from '../lazy.ts';
import { type Activation, activate } from './activation.ts';
import { linear, project } from './linear.ts';
import { gatedMlp, partOf } from './mlp.ts';

export interface ExpertFields {
  /** Module path with `gate` (the router), `experts` and, where there is one, `shared_expert` below. */
  readonly path: string;
  readonly width: number;
  readonly activation: Activation;
  readonly mlp: ExpertMlp;
}

interface ExpertWeights {
  gate(expert: number): Tensor;
  up(expert: number): Tensor;
  down(expert: number): Tensor;
}

/** Each expert's matrices (inputs, outputs), from tensors of its own or from the stacked ones of all. */
const expertWeights = (b: GraphBuilder, { path, width, mlp }: ExpertFields): ExpertWeights => {
  const { experts, inner, names } = mlp;
  if (b.weights.has(`${path}.experts.gate_up_proj`)) {
    const inward = b.weights.stored(`${path}.experts.gate_up_proj`, [experts, 2 * inner, width]);
    const outward = b.weights.stored(`${path}.experts.down_proj`, [experts, width, inner]);
    const both = (expert: number): Tensor => rangeOf(inward, expert * 2 * inner * width, [2 * inner, width]);
    return {
      gate: (expert) => partOf(b, both(expert), 0, inner),
      up: (expert) => partOf(b, both(expert), inner, inner),
      down: (expert) => b.weights.transposeOf(rangeOf(outward, expert * width * inner, [width, inner])),
    };
  }
  const own = (expert: number, name: string, outputs: number, inputs: number): Tensor =>
    b.weights.transposed(`${path}.experts.${expert}.${name}.weight`, outputs, inputs);
  return {
    gate: (expert) => own(expert, names[0], inner, width),
    up: (expert) => own(expert, names[1], inner, width),
    down: (expert) => own(expert, names[2], width, inner),
  };
};

interface Routing {
  /** Gates of the chosen experts, (tokens, chosen). */
  readonly gates: Value;
  /** Their numbers, (tokens · chosen), int64. */
  readonly choice: Value;
}

const route = (b: GraphBuilder, tokens: Value, { path, width, mlp }: ExpertFields): Routing => {
  const router = { path: `${path}.gate`, inputs: width, outputs: mlp.experts, bias: false, role: 'router' } as const;
  const logits = linear(b, tokens, router);
  return b.within(router.path, () => {
    const probabilities = b.softmax(b.widen(logits));
    const [gates, choice] = b.ops('TopK', [probabilities, b.ints([mlp.chosen])], 2, {
      attributes: { axis: intAttribute(-1) },
    });
    const sum = b.op('ReduceSum', [gates!, b.ints([-1])], { attributes: { keepdims: intAttribute(1) } });
    const scaled = mlp.normalised ? b.op('Div', [gates!, sum]) : gates!;
    return { gates: b.narrow(scaled), choice: b.reshape(choice!, [-1]) };
  });
};

/** One expert on its tokens, (tokens, width). */
const runExpert = (b: GraphBuilder, x: Value, expert: number, fields: ExpertFields, weights: ExpertWeights): Value => {
  const { path, width, activation, mlp } = fields;
  const { names } = mlp;
  const base = `${path}.experts.${expert}`;
  const site = (name: string, outputs: number, role: 'expert-gate' | 'expert-up' | 'expert-down') =>
    ({ path: `${base}.${name}`, outputs, bias: false, role }) as const;
  const gate = project(b, x, site(names[0], mlp.inner, 'expert-gate'), () => weights.gate(expert));
  const up = project(b, x, site(names[1], mlp.inner, 'expert-up'), () => weights.up(expert));
  const mixed = b.within(base, () => b.multiply(activate(b, gate, activation), up));
  return project(b, mixed, site(names[2], width, 'expert-down'), () => weights.down(expert));
};

/** `routed` + sigmoid(gate) · an expert that every token passes. All (tokens, width). */
const addSharedExpert = (
  b: GraphBuilder,
  tokens: Value,
  routed: Value,
  inner: number,
  { path, width, activation }: ExpertFields,
): Value => {
  const expert = `${path}.shared_expert`;
  const result = gatedMlp(b, tokens, { path: expert, width, inner, bias: false, activation, stored: 'separate' });
  const gate = linear(b, tokens, { path: `${expert}_gate`, inputs: width, outputs: 1, bias: false, role: 'router' });
  return b.within(path, () => b.add(routed, b.multiply(b.op('Sigmoid', [gate]), result)));
};

/**
 * Sparse: each expert computes the tokens that chose it and no others. The choices, token by token, are sorted by
 * expert, run, put back in order and summed with their gates.
 * @param x (batch, sequence, width), as the result.
 */
export const expertMlp = (b: GraphBuilder, x: Value, fields: ExpertFields): Value => {
  const { path, width, mlp } = fields;
  const weights = expertWeights(b, fields);
  const tokens = b.within(path, () => b.reshape(x, [-1, width]));
  const { gates, choice } = route(b, tokens, fields);
  const places: Value[] = [];
  const results: Value[] = [];
  for (let expert = 0; expert < mlp.experts; expert++) {
    const chosen = b.within(`${path}.experts.${expert}`, () => {
      const place = b.squeeze(b.op('NonZero', [b.op('Equal', [choice, b.int(expert)])]), [0]);
      places.push(place);
      return b.gather(tokens, b.op('Div', [place, b.int(mlp.chosen)]), 0);
    });
    results.push(runExpert(b, chosen, expert, fields, weights));
  }
  const routed = b.within(path, () => {
    const sorted = b.concat(places, 0);
    const numbers = b.range(b.int(0), b.dimension(choice, 0));
    const inverse = b.op('ScatterElements', [sorted, sorted, numbers], { attributes: { axis: intAttribute(0) } });
    const inOrder = b.reshape(b.gather(b.concat(results, 0), inverse, 0), [-1, mlp.chosen, width]);
    const weighted = b.multiply(inOrder, b.unsqueeze(gates, [2]));
    return b.op('ReduceSum', [weighted, b.ints([1])], { attributes: { keepdims: intAttribute(0) } });
  });
  const whole = mlp.sharedInner === undefined ? routed : addSharedExpert(b, tokens, routed, mlp.sharedInner, fields);
  return b.within(path, () => b.op('Reshape', [whole, b.dimensions(x, 0, 3)]));
};
