import { findSites, type Site } from '../analysis/sites.ts';
import { prepareForGradients } from '../autodiff/prepare.ts';
import { OperatorBuilder } from '../ir/build.ts';
import { cloneProgram } from '../ir/clone.ts';
import { intAttribute, type Program, Value } from '../ir/graph.ts';
import { inferShapes } from '../ir/inference/index.ts';
import { type Shape, tensorType } from '../ir/shape.ts';
import { type OutputReading, outputReadings, type ReadingKind } from './readings.ts';

/** An input of a Fisher program that takes random numbers: standard normal for a 'gaussian', else uniform in [0, 1). */
export interface NoiseInput {
  readonly name: string;
  /** In the symbols of the program's inputs. */
  readonly shape: Shape;
  readonly kind: ReadingKind;
}

/** A program that samples labels from the model's own outputs and computes ∂(-log p(labels))/∂outputs. */
export interface FisherProgram {
  readonly program: Program;
  /** Sites of the main graph of `program` that are wanted; composite operators (LSTM) are unrolled and no sites any more. */
  readonly sites: readonly Site[];
  /** The output, or all outputs joined into one. */
  readonly output: Value;
  /** ∂(-log p(labels))/∂output: where the way back begins. */
  readonly seed: Value;
  /** One for each output; the elements of the first are the items. */
  readonly noises: readonly NoiseInput[];
}

/**
 * ∂(-log p(label))/∂output for a label drawn by inverting the distribution function at `uniform`, whose class axis has
 * length 1.
 */
const categoricalSeed = (build: OperatorBuilder, { value, kind, axis }: OutputReading, uniform: Value): Value => {
  const p = kind === 'logits' ? build.call('Softmax', [value], { axis: intAttribute(axis) }) : value;
  const cumulative = build.call('CumSum', [p, build.scalar(axis, 'int64')]);
  const before = build.subtract(cumulative, p);
  const total = build.call('ReduceMax', [cumulative, build.integers([axis])], { keepdims: intAttribute(1) });
  const at = build.multiply(uniform, total);
  const inside = build.call('And', [build.call('LessOrEqual', [before, at]), build.call('Less', [at, cumulative])]);
  const label = build.castLike(inside, value);
  if (kind === 'logits') return build.subtract(p, label);
  return build.negate(build.divide(label, build.call('Max', [p, build.scalarLike(1e-12, p)])));
};

/** (1 - y)/(1 - p) - y/p for y = 1 where `uniform` < p, else 0. */
const chanceSeed = (build: OperatorBuilder, p: Value, uniform: Value): Value => {
  const label = build.castLike(build.call('Less', [uniform, p]), p);
  const floor = build.scalarLike(1e-12, p);
  const one = build.scalarLike(1, p);
  const missed = build.divide(build.subtract(one, label), build.call('Max', [build.subtract(one, p), floor]));
  return build.subtract(missed, build.divide(label, build.call('Max', [p, floor])));
};

const seedOf = (build: OperatorBuilder, reading: OutputReading, noise: Value): Value => {
  const { kind, value } = reading;
  if (kind === 'gaussian') return noise;
  return kind === 'chance' ? chanceSeed(build, value, noise) : categoricalSeed(build, reading, noise);
};

/** Values of any shapes one after the other. */
const joined = (build: OperatorBuilder, values: readonly Value[]): Value => {
  const flat = values.map((value) => build.call('Reshape', [value, build.integers([-1])]));
  return build.typed(build.call('Concat', flat, { axis: intAttribute(0) }), tensorType('float32', [null]));
};

/**
 * Builds the Fisher program (curvature.md; K-FAC, Martens & Grosse 2015, with labels sampled from the model), ready to be
 * differentiated for the sites' outputs.
 * @throws 'unsupported' without a float output.
 */
export const buildFisherProgram = (given: Program, wanted: (site: Site) => boolean): FisherProgram => {
  const program = cloneProgram(given);
  prepareForGradients(program);
  const { graph } = program;
  const readings = outputReadings(program);
  const build = new OperatorBuilder(graph, 'fisher');
  const noises = readings.map(({ kind, shape, axis }, index): NoiseInput => {
    const sampled = kind === 'logits' || kind === 'probabilities' ? shape.with(axis, 1) : shape;
    return { name: `fisher/noise ${index}`, shape: sampled, kind };
  });
  const inputs = noises.map(({ name, shape }) => new Value(name, tensorType('float32', shape)));
  graph.inputs.push(...inputs);
  const seeds = readings.map((reading, index) =>
    build.typed(seedOf(build, reading, inputs[index]!), reading.value.type),
  );
  const outputs = readings.map(({ value }) => value);
  const [output, seed] =
    outputs.length === 1 ? [outputs[0]!, seeds[0]!] : [joined(build, outputs), joined(build, seeds)];
  const sites = findSites(program).filter((site) => site.graph === graph && wanted(site));
  inferShapes(program);
  return { program, sites, output, seed, noises };
};
