import { readSiteMatrix, siteTensor } from '../../../../analysis/site-weights.ts';
import type { Site } from '../../../../analysis/sites.ts';
import { CompressError } from '../../../../errors.ts';
import { checkSignal } from '../../../../execution/interrupt.ts';
import { observeProgram } from '../../../../execution/observe.ts';
import { nameSource } from '../../../../ir/edit/names.ts';
import type { Program, Value } from '../../../../ir/graph.ts';
import { graphsWithin } from '../../../../ir/walk.ts';
import type { Finding } from '../../../../recipe/events.ts';
import type { StageContext } from '../../../stage.ts';
import { rescale } from '../scaling/rescale.ts';
import { type Folding, traceScaling } from '../scaling/trace.ts';
import { InputSample } from './input-sample.ts';
import type { OutputProblem } from './output-error.ts';
import { type ChosenDivisors, divisorsAt, type SmoothChoice, searchDivisors } from './search.ts';

/** How inputs and weights will be rounded after smoothing. */
export interface SmoothRequest extends Pick<OutputProblem, 'input' | 'limit' | 'granularity'> {
  readonly choice: SmoothChoice;
  /** False for values that integer operators make: a division would make floats of them again. */
  readonly isFloat: (value: Value) => boolean;
}

/** Most rows of an input that a strength is judged on, and the least. */
const [mostRows, leastRows] = [384, 48];

/** A division that is computed while the model runs has to lower the error of the outputs to this part. */
const worthwhile = 0.7;

/** An input of products that can be divided. */
interface SmoothInput {
  readonly value: Value;
  readonly readers: readonly Site[];
  readonly folding: Folding | undefined;
  readonly channels: number;
}

/** Matrix products of the main graph in float32 whose constant nothing else reads. */
const canSmooth = (site: Site): boolean =>
  (site.op === 'MatMul' || site.op === 'Gemm') &&
  site.graph.ownerNode === undefined &&
  siteTensor(site).dtype === 'float32' &&
  site.weight.uses.length === 1 &&
  site.node.inputs[site.weightIndex] === site.weight;

const smoothInputs = (program: Program, sites: readonly Site[], { isFloat }: SmoothRequest): SmoothInput[] => {
  const outputs = new Set([...graphsWithin(program.graph)].flatMap((graph) => graph.outputs));
  const byInput = new Map<Value, Site[]>();
  for (const site of sites) if (canSmooth(site)) byInput.set(site.input, [...(byInput.get(site.input) ?? []), site]);
  return [...byInput].flatMap(([value, readers]) => {
    const alone = value.uses.length === readers.length && !outputs.has(value);
    const folding = alone ? traceScaling(value, -1, outputs) : undefined;
    return folding || isFloat(value) ? [{ value, readers, folding, channels: readers[0]!.columns }] : [];
  });
};

/** Rows to keep of every input, so that all of them together stay within the memory. */
const rowsToKeep = (inputs: readonly SmoothInput[], maxMemoryBytes: number): number => {
  const bytesOfRow = inputs.reduce((sum, { channels }) => sum + 4 * channels, 0);
  const affordable = Math.floor(maxMemoryBytes / 4 / Math.max(1, bytesOfRow));
  return Math.max(leastRows, Math.min(mostRows, affordable));
};

const observeInputs = async (
  program: Program,
  inputs: readonly SmoothInput[],
  context: StageContext,
): Promise<ReadonlyMap<SmoothInput, InputSample>> => {
  const { calibration, engine, scratch, emit, signal, seed, maxMemoryBytes } = context;
  if (!calibration || calibration.length === 0)
    throw new CompressError({
      code: 'data',
      message: 'smoothing needs calibration data',
      hint: 'Name a dataset under data.calibration, or use smooth: none.',
    });
  const limit = rowsToKeep(inputs, maxMemoryBytes);
  const samples = new Map(inputs.map((input) => [input, new InputSample(input.channels, limit, seed)]));
  const observations = inputs.map((input) => ({ value: input.value, observer: samples.get(input)! }));
  await observeProgram({ program, dataset: calibration, engine, observations, task: 'smooth', scratch, emit, signal });
  return samples;
};

/** Noise over signal as decibels of signal over noise. */
const decibels = (ratio: number): string => `${(-10 * Math.log10(ratio)).toFixed(1)} dB`;

const average = (numbers: readonly number[]): number =>
  numbers.reduce((sum, number) => sum + number, 0) / Math.max(1, numbers.length);

const chooseDivisors = async (
  { readers, folding, channels }: SmoothInput,
  sample: InputSample,
  request: SmoothRequest,
  signal: AbortSignal,
): Promise<ChosenDivisors | undefined> => {
  const { choice } = request;
  const weights = readers.map((site) => ({ name: site.weight.name, matrix: readSiteMatrix(site), rows: site.rows }));
  const problem = { ...request, sample, weights, signal };
  const classes = folding?.classes ?? Int32Array.from({ length: channels }, (_, channel) => channel + 1);
  if (typeof choice === 'number') return divisorsAt(problem, classes, choice);
  const found = await searchDivisors(problem, classes);
  return folding || found.errorAfter < worthwhile * found.errorBefore ? found : undefined;
};

const summary = (chosen: readonly ChosenDivisors[], all: number, computed: number): Finding[] => {
  if (chosen.length === 0) return [];
  const before = decibels(average(chosen.map(({ errorBefore }) => errorBefore)));
  const after = decibels(average(chosen.map(({ errorAfter }) => errorAfter)));
  const text = `smoothed ${chosen.length} of ${all} inputs of products (${chosen.length - computed} folded, ${computed} divided while running): their outputs go from ${before} to ${after}`;
  return [{ kind: 'fact', text }];
};

/**
 * Divides the channels of inputs of products by numbers that make them fit a common scale, and multiplies the columns
 * of the weights by the same: outputs stay as they are, and rounding costs less. The division is folded into what makes
 * an input where the graph allows; elsewhere it is computed while the model runs, if it is worth that. The program is
 * changed: look sites up again.
 * @param sites products that will be rounded, of this program.
 * @throws CompressError 'data' without calibration data.
 */
export const smoothProgram = async (
  program: Program,
  sites: readonly Site[],
  request: SmoothRequest,
  context: StageContext,
): Promise<Finding[]> => {
  const inputs = smoothInputs(program, sites, request);
  if (inputs.length === 0) return [];
  const samples = await observeInputs(program, inputs, context);
  const names = nameSource(program.graph);
  const chosen: ChosenDivisors[] = [];
  let computed = 0;
  for (const [done, input] of inputs.entries()) {
    checkSignal(context.signal);
    const { value, readers, folding } = input;
    const sample = samples.get(input)!;
    if (sample.count === 0) continue;
    const found = await chooseDivisors(input, sample, request, context.signal);
    context.emit({ type: 'progress', task: 'smooth', done: done + 1, total: inputs.length, unit: 'inputs' });
    if (!found || found.strength === 0) continue;
    rescale(program.graph, { value, readers, divisors: found.divisors, folding }, names);
    chosen.push(found);
    if (!folding) computed++;
  }
  return summary(chosen, inputs.length, computed);
};
