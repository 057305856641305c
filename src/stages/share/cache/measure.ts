import type { Dataset, NumericArray } from '../../../calibration/dataset.ts';
import { arrayOfNumbers, filledArray, floatsOfArray } from '../../../execution/arrays.ts';
import { bindingOf, bindSample } from '../../../execution/feeds.ts';
import { checkSignal } from '../../../execution/interrupt.ts';
import { type Session, withSession } from '../../../execution/session.ts';
import { inputSignature } from '../../../execution/signature.ts';
import type { Program } from '../../../ir/graph.ts';
import type { StageContext } from '../../stage.ts';

/** Tokens that are decoded at once: what stands before them is read from the cache. */
const tokensAtOnce = 16;

/** log softmax of a row. */
const logChances = (scores: Float32Array, from: number, classes: number): Float64Array => {
  let most = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < classes; c++) most = Math.max(most, scores[from + c]!);
  let sum = 0;
  for (let c = 0; c < classes; c++) sum += Math.exp(scores[from + c]! - most);
  const shift = most + Math.log(sum);
  return Float64Array.from({ length: classes }, (_, c) => scores[from + c]! - shift);
};

/** Σ p log(p / q) over the rows of one model's scores and another's. */
const divergence = (p: Float32Array, q: Float32Array, classes: number): number => {
  let nats = 0;
  for (let row = 0; row < p.length / classes; row++) {
    const [a, b] = [logChances(p, row * classes, classes), logChances(q, row * classes, classes)];
    for (let c = 0; c < classes; c++) nats += Math.exp(a[c]!) * (a[c]! - b[c]!);
  }
  return nats;
};

/** Scores of a window in steps, keys and values of earlier steps taken from the cache. */
const inSteps = async (session: Session, program: Program, ids: Int32Array): Promise<Float32Array> => {
  const signature = inputSignature(program);
  const caches = signature.filter(({ name }) => name.startsWith('past_key_values.'));
  const past = new Map<string, NumericArray>(
    caches.map(({ name, dtype, shape }) => [
      name,
      filledArray(
        dtype,
        shape!.map((dim, axis) => (typeof dim === 'number' ? dim : axis === 0 ? 1 : 0)),
        0,
      ),
    ]),
  );
  const parts: Float32Array[] = [];
  for (let from = 0; from < ids.length; from += tokensAtOnce) {
    const step = ids.subarray(from, from + tokensAtOnce);
    const end = from + step.length;
    const places = Float64Array.from(step, (_, index) => from + index);
    const feeds = new Map<string, NumericArray>(past);
    for (const { name, dtype } of signature) {
      if (name === 'input_ids') feeds.set(name, arrayOfNumbers(dtype, [1, step.length], step));
      if (name === 'attention_mask') feeds.set(name, filledArray(dtype, [1, end], 1));
      if (name === 'position_ids') feeds.set(name, arrayOfNumbers(dtype, [1, step.length], places));
    }
    const outputs = await session.run(feeds);
    parts.push(Float32Array.from(floatsOfArray(outputs.get('logits')!)));
    for (const { name } of caches) past.set(name, outputs.get(name.replace('past_key_values', 'present'))!);
  }
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
};

/**
 * Divergence of decoding with another cache from the original model, in nats a token: windows are decoded in steps of 16
 * tokens, so that all but the step's own keys and values come from the cache.
 */
export const measureCache = async (
  program: Program,
  original: Program,
  dataset: Dataset,
  { engine, scratch, signal }: Pick<StageContext, 'engine' | 'scratch' | 'signal'>,
): Promise<number> => {
  const options = { signal, scratchDirectory: scratch.directory };
  const binding = bindingOf(original);
  let [nats, tokens] = [0, 0];
  await withSession(engine, original, options, (reference) =>
    withSession(engine, program, options, async (session) => {
      for (let index = 0; index < dataset.length; index++) {
        checkSignal(signal);
        const sample = await dataset.sample(index);
        if (sample.kind !== 'tokens') continue;
        const feeds = bindSample(sample, binding, `sample ${index} of ${dataset.description}`);
        const p = floatsOfArray((await reference.run(feeds, ['logits'])).get('logits')!);
        const q = await inSteps(session, program, sample.ids);
        nats += divergence(Float32Array.from(p), q, p.length / sample.ids.length);
        tokens += sample.ids.length;
      }
    }),
  );
  return nats / Math.max(1, tokens);
};
