import { findSites, type Site } from '../analysis/sites.ts';
import { appendGradients } from '../autodiff/gradient.ts';
import { prepareForGradients } from '../autodiff/prepare.ts';
import { CompressError } from '../errors.ts';
import { OperatorBuilder } from '../ir/build.ts';
import { cloneProgram } from '../ir/clone.ts';
import { intAttribute, type Program, Value } from '../ir/graph.ts';
import { inferShapes } from '../ir/inference/index.ts';
import { type Shape, tensorType } from '../ir/shape.ts';

/**
 * What a model's output says about the label: 'logits' of a categorical distribution along an axis, its
 * 'probabilities', or the mean of a unit 'gaussian' (regression; the curvature is then in units of squared output).
 */
export type OutputKind = 'logits' | 'probabilities' | 'gaussian';

/** A program that samples labels from the model's own output and computes ∂(-log p(label))/∂y at every site's output y. */
export interface FisherProgram {
  readonly program: Program;
  /** Sites of `program`, one for each site of the given program that can be differentiated for, in the same order. */
  readonly sites: readonly Site[];
  /** ∂loss/∂y of a site's output; absent for sites that do not reach the output. */
  readonly gradientOf: ReadonlyMap<Site, Value>;
  /** Input that takes random numbers: uniform in [0, 1) for labels, standard normal for a gaussian. */
  readonly noise: Value;
  /** The shape of `noise`, in the symbols of the program's inputs. */
  readonly noiseShape: Shape;
  readonly kind: OutputKind;
}

const outputOf = (program: Program): Value => {
  const { outputs } = program.graph;
  const named = outputs.find((value) => value.name === 'logits');
  const float = outputs.find((value) => value.type?.kind === 'tensor' && value.type.dtype === 'float32');
  const found = named ?? float;
  if (found) return found;
  throw new CompressError({
    code: 'unsupported',
    message: 'the model has no float32 output whose curvature could be taken',
    hint: 'Convert the model to float32 first.',
  });
};

/** How an output is read, and along which axis its classes lie. */
interface OutputReading {
  readonly kind: OutputKind;
  readonly axis: number;
}

/** A softmax at the end gives probabilities; scores along an axis are taken for logits; one number for a regression. */
const readingOf = (output: Value, shape: Shape): OutputReading => {
  const softmax = output.producer?.op === 'Softmax' ? output.producer.int('axis', -1) : undefined;
  if (softmax !== undefined) return { kind: 'probabilities', axis: softmax < 0 ? softmax + shape.length : softmax };
  const axis = shape.findLastIndex((dim, index) => index > 0 && dim !== 1);
  return axis > 0 ? { kind: 'logits', axis } : { kind: 'gaussian', axis: shape.length - 1 };
};

/**
 * ∂(-log p(label))/∂output for a label drawn by inverting the distribution function at `uniform`, whose class axis has
 * length 1.
 */
const categoricalSeed = (
  build: OperatorBuilder,
  output: Value,
  { kind, axis }: OutputReading,
  uniform: Value,
): Value => {
  const p = kind === 'logits' ? build.call('Softmax', [output], { axis: intAttribute(axis) }) : output;
  const cumulative = build.call('CumSum', [p, build.scalar(axis, 'int64')]);
  const before = build.subtract(cumulative, p);
  const total = build.call('ReduceMax', [cumulative, build.integers([axis])], { keepdims: intAttribute(1) });
  const at = build.multiply(uniform, total);
  const inside = build.call('And', [build.call('LessOrEqual', [before, at]), build.call('Less', [at, cumulative])]);
  const label = build.castLike(inside, output);
  if (kind === 'logits') return build.subtract(p, label);
  return build.negate(build.divide(label, build.call('Max', [p, build.scalarLike(1e-12, p)])));
};

/**
 * Builds the Fisher program (curvature.md; K-FAC, Martens & Grosse 2015, with labels sampled from the model).
 * No weight gradients are made: only the ways from the output back to the sites' outputs.
 * @param wanted chooses sites; default all whose output is a value of the main graph.
 * @throws CompressErrors for operators on the way without a gradient rule, 'unsupported' without a float output.
 */
export const buildFisherProgram = (
  given: Program,
  wanted: (site: Site) => boolean = () => true,
  kindWanted?: OutputKind,
): FisherProgram => {
  const program = cloneProgram(given);
  prepareForGradients(program);
  const { graph } = program;
  const output = outputOf(program);
  const shape = output.type?.kind === 'tensor' ? output.type.shape : undefined;
  if (!shape)
    throw new CompressError({
      code: 'unsupported',
      message: `the rank of the output ${output.name} is not known`,
      where: { tensor: output.name },
    });
  const found = readingOf(output, shape);
  const reading: OutputReading = { kind: kindWanted ?? found.kind, axis: found.axis };
  const { kind } = reading;
  const noiseShape: Shape = kind === 'gaussian' ? shape : shape.with(reading.axis, 1);
  const noise = new Value('fisher/noise', tensorType('float32', noiseShape));
  graph.inputs.push(noise);
  const build = new OperatorBuilder(graph, 'fisher');
  const seed = build.typed(kind === 'gaussian' ? noise : categoricalSeed(build, output, reading, noise), output.type);
  const sites = findSites(program).filter((site) => site.graph === graph && wanted(site));
  const outputs = [...new Set(sites.map((site) => site.output))];
  const { byValue } = appendGradients({ graph, loss: output, seed, of: outputs, prefix: 'fisher/gradient' });
  inferShapes(program);
  const gradientOf = new Map<Site, Value>();
  for (const site of sites) {
    const gradient = byValue.get(site.output);
    if (gradient) gradientOf.set(site, gradient);
  }
  return { program, sites, gradientOf, noise, noiseShape, kind };
};
