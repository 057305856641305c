import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Block } from '../../../analysis/blocks.ts';
import { extractSegment } from '../../../analysis/segment.ts';
import { readSiteMatrix } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import type { Curvature } from '../../../curvature/moments.ts';
import { internalError } from '../../../errors.ts';
import { ActivationStore } from '../../../execution/activation-store.ts';
import type { BlockVisit } from '../../../execution/block-runner.ts';
import type { Program, Value } from '../../../ir/graph.ts';
import { inferShapes } from '../../../ir/inference/index.ts';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import { Random } from '../../../random.ts';
import { BlockObjective, type BlockOutput } from '../../../training/block-objective.ts';
import { type TrainResult, train } from '../../../training/loop.ts';
import { optimizers } from '../../../training/optimizers/table.ts';
import { quantizedWeight } from '../../../training/weights/quantized.ts';
import { roundingWeight } from '../../../training/weights/rounding.ts';
import { type Progress, softRoundingWeight } from '../../../training/weights/soft-rounding.ts';
import type { TrainedWeight } from '../../../training/weights/weight.ts';
import type { StageContext } from '../../stage.ts';
import type { RefineMethod, RefineOptions } from './options.ts';
import { shadowOf } from './shadow.ts';
import { streamMetric } from './stream-metric.ts';

/** A site whose integers are trained. */
export interface RefinedSite {
  readonly site: Site;
  readonly packed: PackedTensor;
  /** The same site with the weight that was rounded. */
  readonly original: Site;
}

export interface BlockRefinement {
  /** The rounded program, refined up to this block. */
  readonly program: Program;
  readonly visit: BlockVisit;
  readonly sites: readonly RefinedSite[];
  readonly curvature: Curvature | undefined;
  readonly options: RefineOptions;
  readonly context: StageContext;
}

export interface RefinedBlock {
  /** By the name of the site. */
  readonly tensors: ReadonlyMap<string, PackedTensor>;
  readonly result: TrainResult;
  /** Whether errors were weighted by the curvature. */
  readonly weighted: boolean;
}

/** Values that change with the weights of these sites. */
const changedBy = (block: Block, sites: readonly Site[]): Set<Value> => {
  const nodes = new Set(sites.map(({ node }) => node));
  const changed = new Set<Value>();
  for (const node of block.nodes)
    if (nodes.has(node) || node.inputs.some((value) => value && changed.has(value)))
      for (const output of node.outputs) if (output) changed.add(output);
  return changed;
};

const trainedWeight = (
  { site, packed, original }: RefinedSite,
  { method, scales, zeros }: RefineOptions,
  progress: Progress,
): TrainedWeight => {
  const shadow = shadowOf(readSiteMatrix(original), packed);
  const name = site.weight.name;
  switch (method) {
    case 'adaround':
      return softRoundingWeight(name, packed, shadow, { scales, progress, method });
    case 'auto-round':
      return roundingWeight(name, packed, shadow, { scales, zeros, method });
    case 'block-ap':
      return quantizedWeight(name, packed, { scales, zeros, method, shadow });
  }
};

/** Samples to judge by: at least two where there are some to spare. */
const split = (
  runCount: number,
  { holdOut, batch }: RefineOptions,
  seed: number,
): { train: number[]; held: number[] } => {
  const order = [...new Random(seed, 'held-out runs').permutation(runCount)];
  const wanted = holdOut === 0 ? 0 : Math.max(2, Math.round(runCount * holdOut));
  const held = runCount - wanted >= batch ? wanted : 0;
  return { train: order.slice(held).sort((a, b) => a - b), held: order.slice(0, held).sort((a, b) => a - b) };
};

/**
 * Trains the integers of one block: its inputs are those that the refined blocks before it give, its outputs are to be
 * what the original block gives in the original model. The program stays as it is.
 * @throws as `train` and `buildStepProgram`.
 */
export const refineBlock = async (request: BlockRefinement): Promise<RefinedBlock | undefined> => {
  const { program, visit, sites, curvature, options, context } = request;
  const { block, runCount } = visit;
  const progress: Progress = { share: 0 };
  const weightsOf = new Map(sites.map((one) => [one.site.weight, trainedWeight(one, options, progress)]));
  const changed = changedBy(
    block,
    sites.map(({ site }) => site),
  );
  const compared = block.outputs.filter(
    (value) => changed.has(value) && value.type?.kind === 'tensor' && value.type.dtype === 'float32',
  );
  if (compared.length === 0) return undefined;
  const directory = join(context.scratch.directory, 'refined-block');
  mkdirSync(directory, { recursive: true });
  const store = new ActivationStore(directory, context.maxMemoryBytes / 2);
  let objective: BlockObjective | undefined;
  try {
    await visit.observe(
      block.inputs.map((value) => ({
        value,
        observer: { observe: (array, run) => store.put(`input ${value.name}`, run, array) },
      })),
      compared.map((value) => ({
        value,
        observe: (original, _, run) => store.put(`target ${value.name}`, run, original),
      })),
    );
    const segment = extractSegment(program, block);
    inferShapes(segment.program);
    const inSegment = (value: Value): Value => {
      const own = segment.valueOf(value);
      if (own) return own;
      throw internalError(`the value ${value.name} is not part of ${block.name}`);
    };
    const outputs = compared.map(
      (value): BlockOutput => ({
        value: inSegment(value),
        weighting: options.metric === 'curvature' ? streamMetric(block, value, curvature) : undefined,
      }),
    );
    objective = await BlockObjective.open({
      program: segment.program,
      weights: new Map([...weightsOf].map(([value, weight]) => [inSegment(value), weight])),
      outputs,
      runOf: (run) => ({
        inputs: new Map(block.inputs.map(({ name }) => [name, store.get(`input ${name}`, run)])),
        targets: new Map(compared.map(({ name }) => [name, store.get(`target ${name}`, run)])),
      }),
      ...split(runCount, options, context.seed),
      batch: Math.min(options.batch, runCount),
      beforeStep: (step) => {
        progress.share = step / options.steps;
      },
      seed: context.seed,
      engine: context.engine,
      session: { scratchDirectory: context.scratch.directory, signal: context.signal },
      signal: context.signal,
    });
    const result = await trainBlock(objective, request);
    const bySite = new Map(sites.map(({ site }) => [site.weight.name, site.name]));
    const tensors = new Map<string, PackedTensor>();
    for (const [value, tensor] of await objective.tensors()) {
      if (!(tensor instanceof PackedTensor)) throw internalError(`${value.name} was not refined to integers`);
      tensors.set(bySite.get(value.name)!, tensor);
    }
    return { tensors, result, weighted: outputs.some(({ weighting }) => weighting !== undefined) };
  } finally {
    await objective?.close();
    store.close();
  }
};

/** Roundings that are drawn to a side go on to the end at the same pace. */
const schedules = { adaround: 'constant', 'auto-round': 'linear', 'block-ap': 'cosine' } as const;

/** Relative steps: of AdamW one that is sure to help (judged on held-out samples in any case); else a way to go in all. */
const automaticRates: Readonly<Record<RefineMethod, (steps: number) => number>> = {
  adaround: (steps) => Math.min(0.05, 4 / steps),
  'auto-round': (steps) => 1 / steps,
  'block-ap': () => 0.01,
};

const trainBlock = (objective: BlockObjective, { visit, options, context }: BlockRefinement): Promise<TrainResult> => {
  const { method, steps, learningRate } = options;
  const signs = method === 'auto-round';
  const optimizer = optimizers[signs ? 'sign-sgd' : 'adamw'].create(objective.parameters, {
    weightDecay: 0,
    beta1: 0.9,
    beta2: 0.99,
    epsilon: 1e-8,
    momentum: 0,
    stepSize: signs ? 'absolute' : 'relative',
  });
  const peak = learningRate === 'auto' ? automaticRates[method](steps) : learningRate;
  const task = `refining: ${visit.block.name}`;
  return train({
    objective,
    optimizer,
    schedule: { name: schedules[method], peak, warmup: signs ? 0 : Math.round(steps / 20), steps },
    clipNorm: Number.POSITIVE_INFINITY,
    averageDecay: 0,
    validateEvery: Math.max(1, Math.ceil(steps / 10)),
    patience: Number.POSITIVE_INFINITY,
    // On their way, roundings that are not decided yet are judged as if they were.
    ...(method === 'adaround' ? { divergence: Number.POSITIVE_INFINITY } : {}),
    store: { get: () => undefined, put: () => undefined },
    checkpointEvery: steps + 1,
    onStep: ({ step, loss }) =>
      context.emit({
        type: 'progress',
        task,
        done: step,
        total: steps,
        unit: 'steps',
        item: `loss ${loss.toPrecision(4)}`,
      }),
    signal: context.signal,
  });
};
