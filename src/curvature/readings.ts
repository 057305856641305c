import { CompressError } from '../errors.ts';
import { bindingOf } from '../execution/feeds.ts';
import type { Program, Value } from '../ir/graph.ts';
import type { Shape } from '../ir/shape.ts';
import { outputKind } from '../metrics/outputs.ts';

/**
 * What an output says: 'logits' of a categorical distribution along an axis, its 'probabilities', a single 'chance', or
 * the mean of a unit 'gaussian' (regression, hidden states; divergences are then halves of squared differences).
 */
export type ReadingKind = 'logits' | 'probabilities' | 'chance' | 'gaussian';

/** How an output of a model is read as a distribution. */
export interface OutputReading {
  readonly value: Value;
  readonly shape: Shape;
  readonly kind: ReadingKind;
  /** Along which classes lie, for 'logits' and 'probabilities'. */
  readonly axis: number;
}

/** Names of outputs that hold features rather than class scores. */
const featureName = /embed|hidden|feature|pooler/i;

const axisOf = (shape: Shape, isLogits: boolean): number => {
  const rank = shape.length;
  const last = shape.findLastIndex((dim, index) => index > 0 && dim !== 1);
  // Dense scores (batch, classes, height, width) have their classes where a convolution's channels are.
  return isLogits && rank >= 4 ? 1 : last;
};

/** Class scores of a batch or of the tokens of a vocabulary; other scores are taken for regressions. */
const areClasses = (value: Value, shape: Shape, vocabulary: number | undefined): boolean => {
  if (value.name === 'logits') return true;
  if (featureName.test(value.name)) return false;
  const last = shape.findLastIndex((dim, index) => index > 0 && dim !== 1);
  if (last === 1) return true;
  return last === 2 && vocabulary !== undefined && shape[2] === vocabulary;
};

const readingOf = (value: Value, shape: Shape, vocabulary: number | undefined): OutputReading => {
  const of = outputKind(value);
  const axis = axisOf(shape, value.name === 'logits');
  const gaussian = { value, shape, kind: 'gaussian', axis: shape.length - 1 } as const;
  if (of === 'chance') return { ...gaussian, kind: 'chance' };
  if (axis < 1) return gaussian;
  if (of === 'probabilities') return { value, shape, kind: 'probabilities', axis };
  if (of === 'log-probabilities') return { value, shape, kind: 'logits', axis };
  return areClasses(value, shape, vocabulary) ? { value, shape, kind: 'logits', axis } : gaussian;
};

/**
 * The outputs by which changes of a model are judged: `logits` alone where a program has it, else every float32 output
 * that is not kept for a next step. The first decides what an item is (a token, an image, a box).
 * @param carried names of outputs that are only taken over by a next step.
 * @throws 'unsupported' when there is none, or its rank is not known.
 */
export const outputReadings = (program: Program, carried: ReadonlySet<string> = new Set()): OutputReading[] => {
  const { outputs } = program.graph;
  const { vocabulary } = bindingOf(program);
  const logits = outputs.filter(({ name }) => name === 'logits');
  const floats = outputs.filter(
    ({ name, type }) =>
      type?.kind === 'tensor' && type.dtype === 'float32' && !name.startsWith('present') && !carried.has(name),
  );
  const found = logits.length > 0 ? logits : floats;
  if (found.length === 0)
    throw new CompressError({
      code: 'unsupported',
      message: 'the model has no float32 output whose curvature could be taken',
      hint: 'Convert the model to float32 first.',
    });
  return found.map((value) => {
    const shape = value.type?.kind === 'tensor' ? value.type.shape : undefined;
    if (shape) return readingOf(value, shape, vocabulary);
    throw new CompressError({
      code: 'unsupported',
      message: `the rank of the output ${value.name} is not known`,
      where: { tensor: value.name },
    });
  });
};
