import { findSites, type Site } from '../analysis/sites.ts';
import { appendGradients } from '../autodiff/gradient.ts';
import { prepareForGradients } from '../autodiff/prepare.ts';
import type { Dataset, NumericArray } from '../calibration/dataset.ts';
import { floatArray, floatsOfArray } from '../execution/arrays.ts';
import { bindingOf, bindSample } from '../execution/feeds.ts';
import { checkSignal } from '../execution/interrupt.ts';
import { type Feeds, withSession } from '../execution/session.ts';
import { OperatorBuilder } from '../ir/build.ts';
import { cloneProgram } from '../ir/clone.ts';
import { intAttribute, type Program, Value } from '../ir/graph.ts';
import { inferShapes } from '../ir/inference/index.ts';
import { elementCount, tensorType } from '../ir/shape.ts';
import { Random } from '../random.ts';
import type { StageContext } from '../stages/stage.ts';
import { itemsOf } from './divergence.ts';
import { plainSample } from './noise.ts';
import { type OutputReading, outputReadings } from './readings.ts';
import { independentSamples } from './steps.ts';

export interface HessianRequest {
  readonly program: Program;
  readonly dataset: Dataset;
  readonly context: Pick<StageContext, 'engine' | 'seed' | 'scratch' | 'emit' | 'signal'>;
  /** One site for each constant: products of float32 weights of the main graph. */
  readonly sites: readonly Site[];
}

/** A program that computes Hessian-vector products over some constants: inputs and outputs by constant. */
interface ProductProgram {
  readonly program: Program;
  readonly readings: readonly OutputReading[];
  /** Inputs that take the outputs of the unchanged model. */
  readonly fixed: readonly string[];
  readonly vectors: ReadonlyMap<string, string>;
  readonly products: ReadonlyMap<string, string>;
}

/** A term of D(fixed ‖ model) whose derivatives by the model are those of the divergence, summed over everything. */
const divergenceTerm = (build: OperatorBuilder, { value, kind, axis }: OutputReading, fixed: Value): Value => {
  const all = (x: Value): Value =>
    build.typed(build.call('ReduceSum', [x], { keepdims: intAttribute(0) }), tensorType('float32', []));
  const safeLog = (p: Value): Value => build.call('Log', [build.call('Max', [p, build.scalarLike(1e-12, p)])]);
  switch (kind) {
    case 'gaussian': {
      const difference = build.subtract(value, fixed);
      return all(build.multiply(build.multiply(difference, difference), build.scalarLike(0.5, value)));
    }
    case 'logits': {
      const p = build.call('Softmax', [fixed], { axis: intAttribute(axis) });
      return build.negate(all(build.multiply(p, build.call('LogSoftmax', [value], { axis: intAttribute(axis) }))));
    }
    case 'probabilities':
      return build.negate(all(build.multiply(fixed, safeLog(value))));
    case 'chance': {
      const one = build.scalarLike(1, value);
      const hit = build.multiply(fixed, safeLog(value));
      const missed = build.multiply(build.subtract(one, fixed), safeLog(build.subtract(one, value)));
      return build.negate(all(build.add(hit, missed)));
    }
  }
};

/**
 * Hv over the weights of some sites, H the Hessian of the divergence from the model itself (its Fisher information): the
 * gradient of (gradient · v). Divergence has no gradient at the model, so that H is what the loss curves by.
 * @throws CompressErrors for operators without a gradient rule.
 */
const buildProducts = (given: Program, names: readonly string[]): ProductProgram => {
  const program = cloneProgram(given);
  prepareForGradients(program);
  const { graph } = program;
  const readings = outputReadings(program);
  const build = new OperatorBuilder(graph, 'hessian');
  const add = (name: string, value: Value): Value => {
    const input = new Value(name, value.type);
    graph.inputs.push(input);
    return input;
  };
  const fixed = readings.map(({ value }, index) => add(`hessian/fixed ${index}`, value));
  const terms = readings.map((reading, index) => divergenceTerm(build, reading, fixed[index]!));
  const scalar = tensorType('float32', []);
  const loss = build.typed(
    terms.reduce((sum, term) => build.add(sum, term)),
    scalar,
  );
  const wanted = new Set(names);
  const weights = findSites(program)
    .filter((site) => wanted.has(site.name))
    .map(({ weight }) => weight);
  const { byValue: first } = appendGradients({ graph, loss, of: weights, prefix: 'hessian/gradient' });
  const vectors = new Map<string, string>();
  const shares: Value[] = [];
  for (const [weight, gradient] of first) {
    const vector = add(`hessian/vector of ${weight.name}`, weight);
    vectors.set(weight.name, vector.name);
    shares.push(build.call('ReduceSum', [build.multiply(gradient, vector)], { keepdims: intAttribute(0) }));
  }
  const along = build.typed(
    shares.reduce((sum, share) => build.add(sum, share)),
    scalar,
  );
  inferShapes(program);
  const { byValue: second } = appendGradients({ graph, loss: along, of: [...first.keys()], prefix: 'hessian/product' });
  graph.outputs.length = 0;
  const products = new Map<string, string>();
  for (const [weight, product] of second) {
    graph.outputs.push(product);
    products.set(weight.name, product.name);
  }
  inferShapes(program);
  return { program, readings, fixed: fixed.map(({ name }) => name), vectors, products };
};

/** What a sample is fed with, and the outputs of the unchanged model. */
interface FixedSample {
  readonly feeds: Feeds;
  readonly outputs: ReadonlyMap<string, NumericArray>;
  readonly items: number;
}

const fixedSamples = async (request: HessianRequest): Promise<FixedSample[]> => {
  const { program, context } = request;
  const { dataset } = await independentSamples(program, request.dataset, context);
  const { engine, scratch, signal } = context;
  const readings = outputReadings(program);
  const binding = bindingOf(program);
  const names = readings.map(({ value }) => value.name);
  return withSession(engine, program, { signal, scratchDirectory: scratch.directory }, async (session) => {
    const samples: FixedSample[] = [];
    for (let index = 0; index < dataset.length; index++) {
      checkSignal(signal);
      const sample = plainSample(await dataset.sample(index), dataset, index);
      const feeds = bindSample(sample, binding, `sample ${index} of ${dataset.description}`);
      const outputs = await session.run(feeds, names);
      samples.push({ feeds, outputs, items: itemsOf(readings, outputs) });
    }
    return samples;
  });
};

type Vectors = ReadonlyMap<string, NumericArray>;

/** Lends a function that gives Σ Hv of one sample, by constant. */
const withProducts = async <Result>(
  request: HessianRequest,
  names: readonly string[],
  use: (product: (sample: FixedSample, vectors: Vectors) => Promise<Map<string, NumericArray>>) => Promise<Result>,
): Promise<Result> => {
  const { engine, scratch, signal } = request.context;
  const built = buildProducts(request.program, names);
  return withSession(engine, built.program, { signal, scratchDirectory: scratch.directory }, (session) =>
    use(async ({ feeds, outputs }, vectors) => {
      checkSignal(signal);
      const given = new Map(feeds);
      for (const [index, { value }] of built.readings.entries())
        given.set(built.fixed[index]!, outputs.get(value.name)!);
      for (const [weight, name] of built.vectors) given.set(name, vectors.get(weight)!);
      const found = await session.run(given);
      return new Map([...built.products].map(([weight, name]) => [weight, found.get(name)!]));
    }),
  );
};

const shapeOf = ({ weight }: Site): readonly number[] => (weight.type as { readonly shape: readonly number[] }).shape;

const dot = (x: Float32Array, y: Float32Array): number => {
  let sum = 0;
  for (let index = 0; index < x.length; index++) sum += x[index]! * y[index]!;
  return sum;
};

/**
 * Traces of the Hessian over each site's weights, in nats an item: Hutchinson's estimator with one vector of signs a
 * sample over all weights at once (their cross terms have mean zero; HAWQ-V2, arXiv 1911.03852, section 3).
 */
export const hessianTraces = async (request: HessianRequest): Promise<Map<string, number>> => {
  const { sites, context } = request;
  const samples = await fixedSamples(request);
  const items = samples.reduce((sum, sample) => sum + sample.items, 0);
  const names = sites.map(({ name }) => name);
  return withProducts(request, names, async (product) => {
    const sums = new Map<string, number>();
    for (const [index, sample] of samples.entries()) {
      const random = new Random(context.seed, `signs of sample ${index}`);
      const signs = new Map(
        sites.map((site): [string, NumericArray] => {
          const shape = shapeOf(site);
          return [site.weight.name, floatArray(shape, random.signs(elementCount(shape)))];
        }),
      );
      for (const [weight, array] of await product(sample, signs)) {
        const along = dot(floatsOfArray(array), floatsOfArray(signs.get(weight)!));
        sums.set(weight, (sums.get(weight) ?? 0) + along);
      }
      context.emit({
        type: 'progress',
        task: 'hessian traces',
        done: index + 1,
        total: samples.length,
        unit: 'samples',
      });
    }
    return new Map(sites.map(({ name, weight }) => [name, (sums.get(weight.name) ?? 0) / items]));
  });
};

/** Steps of the power iteration: the greatest eigenvalue is well apart, and only its size matters. */
const powerSteps = 8;

/** The greatest eigenvalue of the Hessian over each site's weights, in nats an item, by power iteration (HAWQ, arXiv 1905.03696). */
export const topEigenvalues = async (request: HessianRequest): Promise<Map<string, number>> => {
  const { sites, context } = request;
  const samples = await fixedSamples(request);
  const items = samples.reduce((sum, sample) => sum + sample.items, 0);
  const found = new Map<string, number>();
  for (const site of sites) {
    const shape = shapeOf(site);
    const key = site.weight.name;
    const eigenvalue = await withProducts(request, [site.name], async (product) => {
      let vector = Float32Array.from(
        new Random(context.seed, `eigenvector of ${site.name}`).normals(elementCount(shape)),
      );
      let length = 0;
      for (let step = 0; step <= powerSteps; step++) {
        const norm = Math.sqrt(dot(vector, vector));
        if (norm === 0) return 0;
        const unit = vector.map((value) => value / norm);
        const next = new Float32Array(unit.length);
        for (const sample of samples) {
          const array = (await product(sample, new Map([[key, floatArray(shape, unit)]]))).get(key);
          if (!array) return 0;
          for (const [index, value] of floatsOfArray(array).entries()) next[index]! += value / items;
        }
        length = dot(unit, next);
        vector = next;
      }
      return length;
    });
    found.set(site.name, eigenvalue);
    const done = found.size;
    context.emit({
      type: 'progress',
      task: 'top eigenvalues',
      done,
      total: sites.length,
      unit: 'sites',
      item: site.name,
    });
  }
  return found;
};
