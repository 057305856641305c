import { CompressError } from '../../errors.ts';
import { OperatorBuilder } from '../../ir/build.ts';
import type { Program, Value } from '../../ir/graph.ts';
import type { Shape } from '../../ir/shape.ts';
import { Random } from '../../random.ts';
import {
  attentionWeights,
  inheritedLayers,
  type LayerStates,
  layerStates,
  spreadLayers,
} from '../../training/layers.ts';
import {
  type ChannelAxis,
  type FeatureTerm,
  firstClasses,
  type LossPlan,
  logitsOf,
  type SquareTerm,
  vectorsOf,
  widthOf,
} from '../../training/loss-graph.ts';
import { featureLosses } from '../../training/losses/features.ts';
import { type SquareForm, squareOf } from '../../training/losses/square.ts';
import { distributionLosses } from '../../training/losses/table.ts';
import { plainWeight } from '../../training/weights/plain.ts';
import type { TrainedWeight } from '../../training/weights/weight.ts';
import type { DistillOptions, FeatureWish, HiddenWish, LayerMap } from './options.ts';
import { namedValue, scoresOf, type TeacherModel, type TeacherSource } from './teachers.ts';

/** The loss of a run, and what it needs beside the student. */
export interface LossSetup {
  readonly plan: LossPlan;
  /** Projections of student vectors to the teacher's width. */
  readonly extra: readonly TrainedWeight[];
  /** Values that each teacher is asked for. */
  readonly teacherValues: readonly (readonly Value[])[];
}

export interface LossRequest {
  readonly student: Program;
  readonly teachers: readonly TeacherSource[];
  readonly options: DistillOptions;
  /** Whether samples are windows of tokens. */
  readonly windows: boolean;
  readonly seed: number;
}

/** @throws 'mismatch' with both sizes when scores cannot be compared. */
const checkVocabularies = (own: number, other: number, origin: string, { vocabulary }: DistillOptions): void => {
  if (own === other || vocabulary === 'shared') return;
  throw new CompressError({
    code: 'mismatch',
    message: `the student scores ${own} classes and the teacher ${origin} scores ${other}, so their distributions cannot be compared`,
    where: { key: 'teacher' },
    hint: 'Take a teacher with the same vocabulary, learn from hidden states or labels only (losses), or, where one vocabulary only goes on beyond the other (padding), compare what both have (vocabulary: shared).',
  });
};

/** A projection that begins near a part of the identity. */
const projection = (name: string, from: number, to: number, seed: number): TrainedWeight => {
  const initial = new Random(seed, name).normals(from * to, 0.02 / Math.sqrt(from));
  for (let index = 0; index < Math.min(from, to); index++) initial[index * to + index]! += 1;
  return plainWeight(name, [from, to], initial, 'matrix');
};

const rankOf = (value: Value): number | undefined =>
  value.type?.kind === 'tensor' ? value.type.shape?.length : undefined;

/** @throws 'mismatch' where two values are known to hold different numbers of vectors for a sample. */
const checkPlaces = (name: string, own: Value, target: Value, channels: ChannelAxis): void => {
  const placesOf = (value: Value): Shape => {
    const shape = value.type?.kind === 'tensor' ? (value.type.shape ?? []) : [];
    return channels === 'first' ? shape.slice(2) : shape.slice(1, -1);
  };
  const [mine, theirs] = [placesOf(own), placesOf(target)];
  const differ = (dim: Shape[number], index: number): boolean =>
    typeof dim === 'number' && typeof theirs[index] === 'number' && dim !== theirs[index];
  if (mine.length === theirs.length && !mine.some(differ)) return;
  throw new CompressError({
    code: 'mismatch',
    message: `${name} cannot be compared place by place: the student has [${mine.join(', ')}] places and the teacher [${theirs.join(', ')}]`,
    where: { key: 'losses.features', tensor: own.name },
    hint: 'Compare values of one resolution, or pooled ones.',
  });
};

/** Collects the terms of a loss that look at values inside the student and the first teacher. */
class InnerTerms {
  readonly features: FeatureTerm[] = [];
  readonly squares: SquareTerm[] = [];
  readonly extra: TrainedWeight[] = [];
  readonly #request: LossRequest;
  /** Values that the first teacher is asked for. */
  readonly #values: Value[];
  /** What is inside the teacher, as it was before anything was appended to it. */
  readonly teacherStates: readonly LayerStates[];
  readonly teacherAttention: readonly Value[];
  #appended: OperatorBuilder | undefined;

  constructor(request: LossRequest, values: Value[]) {
    this.#request = request;
    this.#values = values;
    const [first] = request.teachers;
    const { hidden, relations, attention } = request.options;
    const program = first?.kind === 'model' ? first.program : undefined;
    this.teacherStates = program && (hidden || relations) ? layerStates(program) : [];
    this.teacherAttention = program && attention ? [...attentionWeights(program).values()] : [];
  }

  /** The first teacher. @throws 'usage' for stored scores, which have nothing inside. */
  get teacher(): TeacherModel {
    return this.#needsModel();
  }

  #needsModel(): TeacherModel {
    const [first] = this.#request.teachers;
    if (first?.kind === 'model') return first;
    throw new CompressError({
      code: 'usage',
      message: `only scores were captured of ${first?.origin}: hidden states, attention and features need the model itself`,
      where: { key: 'losses' },
      hint: 'Name the model first among the teachers, or learn from distributions only.',
    });
  }

  /** Appends to the first teacher's graph. */
  get #append(): OperatorBuilder {
    this.#appended ??= new OperatorBuilder(this.teacher.program.graph, 'teach');
    return this.#appended;
  }

  /** Layers of the student with the layers of the teacher that they learn from. */
  pairs(key: string, map: LayerMap | undefined, counts: readonly [own: number, taught: number]): [number, number][] {
    this.#needsModel();
    const [own, taught] = counts;
    if (own === 0 || taught === 0)
      throw new CompressError({
        code: 'unsupported',
        message: `the ${key} of the ${own === 0 ? 'student' : 'teacher'} cannot be told from its graph, so there is nothing to compare`,
        where: { key: `losses.${key}` },
        hint: 'Use checkpoint folders built with standard operators (fused: false), or name values (losses: { features: […] }).',
      });
    const { layers } = this.#request.options;
    const usual = layers ? inheritedLayers(layers, taught) : spreadLayers(own, taught);
    const pairs = (map ?? usual.map((teacher, index) => [index, teacher] as const)).map(
      ([index, place]): [number, number] => [index, place],
    );
    for (const [index, place] of pairs)
      if (index >= own || place >= taught)
        throw new CompressError({
          code: 'usage',
          message: `there is no student layer ${index} with a teacher layer ${place}: they have ${own} and ${taught}`,
          where: { key: `losses.${key}.layers` },
        });
    return pairs;
  }

  #ask(value: Value): number {
    if (!this.#values.includes(value)) this.#values.push(value);
    return this.#values.indexOf(value);
  }

  feature(
    name: string,
    own: Value,
    target: Value,
    wish: Pick<FeatureWish, 'loss' | 'weight'> & { readonly channels?: ChannelAxis | undefined },
  ): void {
    const channels = wish.channels ?? (rankOf(own) === 4 ? 'first' : 'last');
    const vectors = vectorsOf(this.#append, target, channels);
    checkPlaces(name, own, target, channels);
    const shape = own.type?.kind === 'tensor' ? own.type.shape : undefined;
    const width = channels === 'first' && typeof shape?.[1] === 'number' ? shape[1] : widthOf(own);
    const teacherWidth = widthOf(vectors);
    const teacherValue = this.#ask(vectors);
    if (width !== teacherWidth)
      this.extra.push(projection(`projection of ${name}`, width, teacherWidth, this.#request.seed));
    this.features.push({
      name,
      loss: featureLosses[wish.loss],
      weight: wish.weight,
      student: own,
      channels,
      teacherValue,
      teacherWidth,
      projection: width === teacherWidth ? undefined : this.extra.length - 1,
    });
  }

  square(name: string, weight: number, form: SquareForm, own: Value, target: Value): void {
    const teacherValue = this.#ask(squareOf(this.#append, target, form));
    this.squares.push({ name, weight, form, student: own, teacherValue });
  }
}

const addHidden = (terms: InnerTerms, { student }: LossRequest, wish: HiddenWish): void => {
  const [own, taught] = [layerStates(student), terms.teacherStates];
  const pairs = terms.pairs('hidden', wish.layers, [own.length, taught.length]);
  for (const [index, place] of pairs)
    terms.feature(`hidden ${index}`, own[index]!.output, taught[place]!.output, {
      ...wish,
      weight: wish.weight / pairs.length,
    });
};

/** The last pair of layers, where the recipe names none (Wang et al. 2020, MiniLM). */
const wishedPairs = (pairs: readonly [number, number][], map: LayerMap | undefined): readonly [number, number][] =>
  map ? pairs : pairs.slice(-1);

const headsOf = (value: Value): string => {
  const shape = value.type?.kind === 'tensor' ? value.type.shape : undefined;
  const heads = shape?.slice(1, -2) ?? [];
  return heads.every((count) => typeof count === 'number')
    ? String(heads.reduce<number>((a, b) => a * Number(b), 1))
    : '';
};

const addAttention = (terms: InnerTerms, { student, options }: LossRequest): void => {
  const { attention } = options;
  if (!attention) return;
  const own = [...attentionWeights(student).values()];
  const taught = terms.teacherAttention;
  const pairs = wishedPairs(terms.pairs('attention', attention.layers, [own.length, taught.length]), attention.layers);
  for (const [index, place] of pairs) {
    const [mine, theirs] = [own[index]!, taught[place]!];
    const form = headsOf(mine) !== '' && headsOf(mine) === headsOf(theirs) ? 'attention' : 'mean-attention';
    terms.square(`attention ${index}`, attention.weight / pairs.length, form, mine, theirs);
  }
};

const addRelations = (terms: InnerTerms, { student, options }: LossRequest): void => {
  const { relations } = options;
  if (!relations) return;
  const [own, taught] = [layerStates(student), terms.teacherStates];
  const pairs = wishedPairs(terms.pairs('relations', relations.layers, [own.length, taught.length]), relations.layers);
  for (const [index, place] of pairs)
    terms.square(
      `relations ${index}`,
      relations.weight / pairs.length,
      'relation',
      own[index]!.output,
      taught[place]!.output,
    );
};

/** Leaves teachers the classes that all have. Scores come first among what each is asked for. */
const cutToClasses = (
  teachers: readonly TeacherSource[],
  teacherValues: readonly (readonly Value[])[],
  classes: number,
): void => {
  teachers.forEach((teacher, index) => {
    const values = teacherValues[index] as Value[];
    if (teacher.kind === 'model' && values[0])
      values[0] = firstClasses(new OperatorBuilder(teacher.program.graph, 'teach/shared'), values[0], classes);
  });
};

/** Decides what is compared with what. @throws 'mismatch', 'not-found', 'unsupported', 'usage' for what cannot be. */
export const setUpLoss = (request: LossRequest): LossSetup => {
  const { student, teachers, options, windows } = request;
  const compares = options.distributions.length > 0;
  const taught = options.distributions.some(({ name }) => distributionLosses[name].needs === 'teacher');
  const scores = compares ? scoresOf(student, 'student') : undefined;
  const teacherValues = teachers.map((): Value[] => []);
  const terms = new InnerTerms(request, teacherValues[0]!);
  let classes: number | undefined;
  teachers.forEach((teacher, index) => {
    if (!taught || !scores) return;
    if (teacher.kind === 'captured') {
      checkVocabularies(widthOf(scores.value), teacher.capture.classes, teacher.origin, {
        ...options,
        vocabulary: 'same',
      });
      return;
    }
    const found = scoresOf(teacher.program, `teacher ${teacher.origin}`);
    checkVocabularies(widthOf(scores.value), widthOf(found.value), teacher.origin, options);
    classes = Math.min(classes ?? widthOf(scores.value), widthOf(found.value));
    const build = new OperatorBuilder(teacher.program.graph, 'teach');
    teacherValues[index]!.push(logitsOf(build, found.value, found.kind));
  });
  if (classes !== undefined && scores) {
    for (const { kind, origin } of teachers)
      if (kind === 'captured')
        checkVocabularies(classes, widthOf(scores.value), origin, { ...options, vocabulary: 'same' });
    cutToClasses(teachers, teacherValues, classes);
  }
  if (options.hidden) addHidden(terms, request, options.hidden);
  for (const feature of options.features) {
    const own = namedValue(student, feature.student, 'student');
    terms.feature(feature.student, own, namedValue(terms.teacher.program, feature.teacher, 'teacher'), feature);
  }
  addAttention(terms, request);
  addRelations(terms, request);
  const plan: LossPlan = {
    scores,
    classes,
    distributions: options.distributions.map(({ name, weight, mixture }) => ({
      loss: distributionLosses[name],
      weight,
      mixture,
    })),
    temperature: options.temperature,
    teachers: teachers.map((teacher) => ({
      share: teacher.share,
      kept: teacher.kind === 'captured' ? teacher.capture.kept : undefined,
    })),
    features: terms.features,
    squares: terms.squares,
    windows,
  };
  return { plan, extra: terms.extra, teacherValues };
};
