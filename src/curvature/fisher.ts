import { findSites, type Site } from '../analysis/sites.ts';
import { prepareForGradients } from '../autodiff/prepare.ts';
import { OperatorBuilder } from '../ir/build.ts';
import { cloneProgram } from '../ir/clone.ts';
import { intAttribute, type Program, Value } from '../ir/graph.ts';
import { inferShapes } from '../ir/inference/index.ts';
import { type Shape, tensorType } from '../ir/shape.ts';
import { type OutputReading, outputReadings } from './readings.ts';

/** An input of a Fisher program that takes random signs. */
export interface NoiseInput {
  readonly name: string;
  /** That of the output, in the symbols of the program's inputs. */
  readonly shape: Shape;
  /** Axis of the classes of one item; undefined where every number is an item. */
  readonly classes: number | undefined;
}

/**
 * A program that computes a random gradient at the outputs whose covariance is the Fisher information of what they say:
 * that of ∂(-log p(label))/∂output over labels drawn from the model itself.
 */
export interface FisherProgram {
  readonly program: Program;
  /** Sites of the main graph of `program` that are wanted; composite operators (LSTM) are unrolled and no sites any more. */
  readonly sites: readonly Site[];
  /** The output, or all outputs joined into one. */
  readonly output: Value;
  /** The gradient at the output: where the way back begins. */
  readonly seed: Value;
  /** One for each output; the elements of the first are the items. */
  readonly noises: readonly NoiseInput[];
}

/**
 * A gradient with the covariance of ∂(-log p(label))/∂output, from random signs. Signs and not labels, since of a model
 * that is nearly sure of everything a few drawn labels tell nothing: almost all of the information lies in labels that
 * are almost never drawn.
 * - 'logits': diag p - p pᵀ = L Lᵀ with L = (I - p 1ᵀ) diag √p
 * - 'probabilities': diag 1/p, 'chance': 1/(p (1 - p)), 'gaussian': I
 */
const seedOf = (build: OperatorBuilder, { value, kind, axis }: OutputReading, signs: Value): Value => {
  const atLeast = (p: Value): Value => build.call('Max', [p, build.scalarLike(1e-12, p)]);
  switch (kind) {
    case 'gaussian':
      return signs;
    case 'chance': {
      const variance = build.multiply(value, build.subtract(build.scalarLike(1, value), value));
      return build.divide(signs, build.call('Sqrt', [atLeast(variance)]));
    }
    case 'probabilities':
      return build.divide(signs, build.call('Sqrt', [atLeast(value)]));
    case 'logits': {
      const p = build.call('Softmax', [value], { axis: intAttribute(axis) });
      const drawn = build.multiply(build.call('Sqrt', [p]), signs);
      const total = build.call('ReduceSum', [drawn, build.integers([axis])], { keepdims: intAttribute(1) });
      return build.subtract(drawn, build.multiply(p, total));
    }
  }
};

/** Values of any shapes one after the other. */
const joined = (build: OperatorBuilder, values: readonly Value[]): Value => {
  const flat = values.map((value) => build.call('Reshape', [value, build.integers([-1])]));
  return build.typed(build.call('Concat', flat, { axis: intAttribute(0) }), tensorType('float32', [null]));
};

/**
 * Builds the Fisher program (curvature.md; K-FAC, Martens & Grosse 2015), ready to be
 * differentiated for the sites' outputs.
 * @throws 'unsupported' without a float output.
 */
export const buildFisherProgram = (
  given: Program,
  wanted: (site: Site) => boolean,
  carried: ReadonlySet<string> = new Set(),
): FisherProgram => {
  const program = cloneProgram(given);
  prepareForGradients(program);
  const { graph } = program;
  const readings = outputReadings(program, carried);
  const build = new OperatorBuilder(graph, 'fisher');
  const noises = readings.map(({ kind, shape, axis }, index): NoiseInput => {
    const classes = kind === 'logits' || kind === 'probabilities' ? axis : undefined;
    return { name: `fisher/noise ${index}`, shape, classes };
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
