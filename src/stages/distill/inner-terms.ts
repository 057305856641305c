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
import { type ChannelAxis, type FeatureTerm, type SquareTerm, vectorsOf, widthOf } from '../../training/loss-graph.ts';
import { featureLosses } from '../../training/losses/features.ts';
import { type SquareForm, squareOf } from '../../training/losses/square.ts';
import { plainWeight } from '../../training/weights/plain.ts';
import type { TrainedWeight } from '../../training/weights/weight.ts';
import type { DistillOptions, FeatureWish, HiddenWish, LayerMap } from './options.ts';
import { namedValue, type TeacherModel, type TeacherSource } from './teachers.ts';

export interface LossRequest {
  readonly student: Program;
  readonly teachers: readonly TeacherSource[];
  readonly options: DistillOptions;
  /** Whether samples are windows of tokens. */
  readonly windows: boolean;
  readonly seed: number;
}

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
export class InnerTerms {
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

/** Adds every term of the options that looks inside. @throws as the members of `InnerTerms`, 'not-found'. */
export const addInnerTerms = (terms: InnerTerms, request: LossRequest): void => {
  const { student, options } = request;
  if (options.hidden) addHidden(terms, request, options.hidden);
  for (const feature of options.features) {
    const own = namedValue(student, feature.student, 'student');
    terms.feature(feature.student, own, namedValue(terms.teacher.program, feature.teacher, 'teacher'), feature);
  }
  addAttention(terms, request);
  addRelations(terms, request);
};
