import { internalError } from '../errors.ts';
import { floatArray, floatsOfArray } from '../execution/arrays.ts';
import { type Binding, bindingOf } from '../execution/feeds.ts';
import { checkSignal } from '../execution/interrupt.ts';
import type { Engine, Session, SessionOptions } from '../execution/session.ts';
import { OperatorBuilder } from '../ir/build.ts';
import { removeDead } from '../ir/edit/remove-dead.ts';
import { type Graph, intAttribute, type Program, type Value } from '../ir/graph.ts';
import { tensorType } from '../ir/shape.ts';
import type { Random } from '../random.ts';
import { type BatchSample, collate, type PlainSample } from './batches.ts';
import { logitsOf, type ScoreKind } from './loss-graph.ts';
import { trainedCopy } from './trained-copy.ts';
import type { TrainedWeight } from './weights/weight.ts';

export interface GeneratorOptions {
  readonly student: Program;
  readonly weights: ReadonlyMap<Value, TrainedWeight>;
  /** (samples, positions, classes). */
  readonly scores: { readonly value: Value; readonly kind: ScoreKind };
  readonly engine: Engine;
  readonly session: SessionOptions;
  readonly signal: AbortSignal;
}

/** How a sample is written. */
export interface Writing {
  /** Tokens of the data that it begins with, and tokens that follow. */
  readonly prompt: number;
  readonly tokens: number;
  readonly temperature: number;
}

/** A text that is being written. */
interface Text {
  readonly begin: number;
  readonly ids: number[];
  readonly random: Random;
}

/** Scores of the last position as the only output. */
const lastScores = (graph: Graph, scores: Value, kind: ScoreKind): string => {
  const build = new OperatorBuilder(graph, 'generate');
  const last = build.call('Gather', [logitsOf(build, scores, kind), build.scalar(-1, 'int64')], {
    axis: intAttribute(1),
  });
  build.typed(last, tensorType('float32', [null, null]));
  graph.outputs.splice(0, graph.outputs.length, last);
  removeDead(graph);
  return last.name;
};

/** A class drawn by softmax(score / temperature). */
const draw = (scores: Float32Array, temperature: number, random: Random): number => {
  let highest = Number.NEGATIVE_INFINITY;
  for (const score of scores) highest = Math.max(highest, score);
  const chances = Float64Array.from(scores, (score) => Math.exp((score - highest) / temperature));
  let left = random.float() * chances.reduce((sum, chance) => sum + chance, 0);
  for (let index = 0; index < chances.length; index++) {
    left -= chances[index]!;
    if (left < 0) return index;
  }
  return chances.length - 1;
};

/** Writes texts with the student under its present weights, without a cache of keys and values: for short texts. */
export class Generator {
  readonly #session: Session;
  readonly #binding: Binding;
  readonly #leafOf: ReadonlyMap<TrainedWeight, Value>;
  readonly #output: string;
  readonly #signal: AbortSignal;

  private constructor(
    session: Session,
    binding: Binding,
    leafOf: ReadonlyMap<TrainedWeight, Value>,
    output: string,
    signal: AbortSignal,
  ) {
    this.#session = session;
    this.#binding = binding;
    this.#leafOf = leafOf;
    this.#output = output;
    this.#signal = signal;
  }

  /** Loads the student; close it afterwards. */
  static async open({ student, weights, scores, engine, session, signal }: GeneratorOptions): Promise<Generator> {
    const { program, inStep, leafOf } = trainedCopy(student, weights, []);
    const output = lastScores(program.graph, inStep(scores.value), scores.kind);
    return new Generator(await engine.open(program, session), bindingOf(student), leafOf, output, signal);
  }

  close(): Promise<void> {
    return this.#session.close();
  }

  /**
   * Continues the beginnings of samples, those of one length together.
   * @param leaves what is fed for each weight. @param randoms one for each sample.
   */
  async write(
    samples: readonly PlainSample[],
    leaves: ReadonlyMap<TrainedWeight, Float32Array>,
    writing: Writing,
    randoms: readonly Random[],
  ): Promise<PlainSample[]> {
    const texts = samples.map((sample, place): Text => {
      if (sample.kind !== 'tokens') throw internalError('only texts can be generated');
      const begin = Math.min(writing.prompt, sample.ids.length);
      return { begin, ids: [...sample.ids.subarray(0, begin)], random: randoms[place]! };
    });
    for (const begin of new Set(texts.map((text) => text.begin)))
      await this.#goOn(
        texts.filter((text) => text.begin === begin),
        leaves,
        writing,
      );
    return texts.map(({ begin, ids }) => ({
      kind: 'tokens',
      ids: Int32Array.from(ids),
      scored: Uint8Array.from(ids, (_, at) => (at < begin ? 0 : 1)),
    }));
  }

  /** Adds tokens to texts of one length. */
  async #goOn(
    texts: readonly Text[],
    leaves: ReadonlyMap<TrainedWeight, Float32Array>,
    { tokens, temperature }: Writing,
  ): Promise<void> {
    const weights = [...leaves].map(
      ([weight, leaf]) => [this.#leafOf.get(weight)?.name ?? '', floatArray(weight.leafShape, leaf)] as const,
    );
    for (let token = 0; token < tokens; token++) {
      checkSignal(this.#signal);
      const present = texts.map(({ ids }, index): BatchSample => {
        const sample = { kind: 'tokens', ids: Int32Array.from(ids), scored: new Uint8Array(ids.length) } as const;
        return { index, sample, origin: 'generated' };
      });
      const { feeds } = collate(present, this.#binding, 'generated texts');
      const outputs = await this.#session.run(new Map([...feeds, ...weights]));
      const scores = floatsOfArray(outputs.get(this.#output)!);
      const classes = scores.length / texts.length;
      texts.forEach(({ ids, random }, place) => {
        ids.push(draw(scores.subarray(place * classes, (place + 1) * classes), temperature, random));
      });
    }
  }
}
