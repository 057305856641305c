import type { OperatorBuilder } from '../../ir/build.ts';
import { intAttribute, type Value } from '../../ir/graph.ts';
import { lowestLogarithm } from './limits.ts';
import type { DistributionInputs } from './loss.ts';

/** A distribution over classes in both forms: (rows, classes). */
export interface Distribution {
  readonly probabilities: Value;
  readonly logarithms: Value;
}

/** softmax(scores / temperature) with its logarithm, by the shifted form, which cannot overflow. */
export const softened = (build: OperatorBuilder, scores: Value, temperature: number): Distribution => {
  const scaled = temperature === 1 ? scores : build.scale(scores, 1 / temperature);
  const axis = { axis: intAttribute(-1) };
  return {
    probabilities: build.call('Softmax', [scaled], axis),
    logarithms: build.call('LogSoftmax', [scaled], axis),
  };
};

/** Both distributions of a loss. */
export const bothOf = ({
  build,
  student,
  teacher,
  temperature,
}: DistributionInputs): { readonly p: Distribution; readonly q: Distribution } => ({
  p: softened(build, teacher, temperature),
  q: softened(build, student, temperature),
});

/** Σ p (log p - log q) of each row: (rows). */
export const divergence = (build: OperatorBuilder, p: Distribution, logarithms: Value): Value =>
  build.sumOver(build.multiply(p.probabilities, build.subtract(p.logarithms, logarithms)), [-1], 'drop');

/**
 * The mixture share·a + (1-share)·b. Its logarithm is that of the sum, which no sum of logarithms can replace; where
 * both chances are below the smallest float, the logarithm of that float stands in.
 */
export const mixed = (build: OperatorBuilder, a: Distribution, b: Distribution, share: number): Distribution => {
  const probabilities = build.add(build.scale(a.probabilities, share), build.scale(b.probabilities, 1 - share));
  const positive = build.call('Max', [probabilities, build.scalarLike(Math.exp(lowestLogarithm), probabilities)]);
  return { probabilities, logarithms: build.call('Log', [positive]) };
};

/** Gradients of softened distributions shrink with T²; losses are multiplied by it (Hinton et al. 2015, section 2.1). */
export const rescaled = ({ build, temperature }: DistributionInputs, rows: Value): Value =>
  temperature === 1 ? rows : build.scale(rows, temperature ** 2);
