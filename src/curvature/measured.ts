import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Block } from '../analysis/blocks.ts';
import { siteTensor } from '../analysis/site-weights.ts';
import type { Site } from '../analysis/sites.ts';
import type { Dataset, NumericArray } from '../calibration/dataset.ts';
import { ActivationStore } from '../execution/activation-store.ts';
import { arrayFromBytes } from '../execution/arrays.ts';
import { bindingOf, runSample } from '../execution/feeds.ts';
import { checkSignal } from '../execution/interrupt.ts';
import { withSession } from '../execution/session.ts';
import { type SuffixRun, type SuffixVisit, walkSuffixes } from '../execution/suffix-walk.ts';
import type { Graph, Program, Value } from '../ir/graph.ts';
import { arrayOfMatrix } from '../ir/matrix-layout.ts';
import { floatToBytes } from '../kernels/index.ts';
import type { StageContext } from '../stages/stage.ts';
import { divergenceOf, itemsOf } from './divergence.ts';
import { type OutputReading, outputReadings } from './readings.ts';
import { carriedOutputs } from './steps.ts';

export type MeasureContext = Pick<StageContext, 'engine' | 'maxMemoryBytes' | 'scratch' | 'emit' | 'signal'>;

/** A change of some weights whose effect on the outputs is to be known. */
export interface WeightChange {
  readonly name: string;
  /** One site for each constant that is changed; none is read before the block that the change belongs to. */
  readonly sites: readonly Site[];
  /** The new matrix (rows, columns) of one of them. */
  matrixOf(site: Site): Promise<Float32Array>;
}

/** An edit of a program whose effect on the outputs is to be known. */
export interface ProgramVariant {
  readonly name: string;
  /** The block that it begins in: what the edit reads must be computed there, later, or be read there of before. */
  readonly from: number;
  /** Edits a copy of the program from that block to its end. */
  edit(part: Graph): void;
}

/** The divergence of a variant from the reference. */
export interface VariantDivergence {
  /** Mean, in nats an item. */
  readonly nats: number;
  /** Nats of each run over the items of a mean run: their mean is `nats`. */
  readonly runs: Float64Array;
}

export interface VariantRequest {
  readonly program: Program;
  /** The program whose outputs the divergence is taken from: it has outputs of the same names. */
  readonly reference: Program;
  readonly dataset: Dataset;
  readonly context: MeasureContext;
  /** Of `program`. */
  readonly blocks: readonly Block[];
  readonly variants: readonly ProgramVariant[];
}

export interface MeasureRequest {
  readonly program: Program;
  readonly dataset: Dataset;
  readonly context: MeasureContext;
  readonly blocks: readonly Block[];
  /** What to change in a block; none: the block is only passed through. */
  changesIn(block: Block): readonly WeightChange[];
  /** Told after each block: mean divergence in nats per item, by name of the change. */
  readonly measured: (block: Block, divergences: ReadonlyMap<string, number>) => void;
}

/** The outputs of the unchanged program for every run, spilled beyond the memory that is allowed. */
class References {
  readonly #store: ActivationStore;
  readonly #names: readonly string[];
  items = 0;

  constructor(store: ActivationStore, names: readonly string[]) {
    this.#store = store;
    this.#names = names;
  }

  put(run: number, outputs: ReadonlyMap<string, NumericArray>): void {
    for (const name of this.#names) this.#store.put(name, run, outputs.get(name)!);
  }

  of(run: number): ReadonlyMap<string, NumericArray> {
    return new Map(this.#names.map((name) => [name, this.#store.get(name, run)]));
  }
}

const computeReferences = async (
  { program, dataset, context }: Pick<MeasureRequest, 'program' | 'dataset' | 'context'>,
  readings: readonly OutputReading[],
  store: ActivationStore,
): Promise<References> => {
  const { engine, scratch, emit, signal } = context;
  const names = readings.map(({ value }) => value.name);
  const references = new References(store, names);
  const binding = bindingOf(program);
  await withSession(engine, program, { signal, scratchDirectory: scratch.directory }, async (session) => {
    let run = 0;
    for (let index = 0; index < dataset.length; index++) {
      checkSignal(signal);
      const sample = await dataset.sample(index);
      for await (const { outputs } of runSample(
        session,
        sample,
        binding,
        `sample ${index} of ${dataset.description}`,
        names,
      )) {
        references.items += itemsOf(readings, outputs);
        references.put(run++, outputs);
      }
      emit({ type: 'progress', task: 'reference outputs', done: index + 1, total: dataset.length, unit: 'samples' });
    }
  });
  return references;
};

/** A matrix of a site as its constant lies in the graph. */
const arrayOf = (site: Site, matrix: Float32Array): NumericArray => {
  const { dtype, shape } = siteTensor(site);
  const array = arrayOfMatrix(matrix, shape, site.layout);
  if (dtype === 'float32') return { dtype, shape, data: array };
  return arrayFromBytes(dtype, shape, floatToBytes(array, dtype as 'float16'));
};

/**
 * Measures what changes of weights, each by itself, do to the outputs: the divergence from the unchanged program, from
 * the changed block onward (what lies before is computed once). For samples with carried state, the state stays that
 * of the unchanged program.
 */
export const measureDivergences = async (request: MeasureRequest): Promise<void> => {
  const { program, dataset, context, blocks } = request;
  const readings = outputReadings(program, await carriedOutputs(dataset));
  const changes = new Map(blocks.map((block) => [block, request.changesIn(block)]));
  if (![...changes.values()].some((list) => list.length > 0)) return;
  await withReferences(request, readings, async (references, half) => {
    const outputs = readings.map(({ value }) => value);
    await walkSuffixes(
      { ...half, program, dataset, blocks, outputs, task: 'measuring' },
      (block) => changes.get(block)!.length > 0,
      async (visit) => {
        const divergences = await measureIn(visit, changes.get(visit.block)!, { references, readings, context });
        request.measured(visit.block, divergences);
      },
    );
  });
};

/**
 * Measures the divergence of each variant of a program from a reference; by name. What lies before a
 * variant's block is computed once. For samples with carried state, the state stays that of the unchanged program.
 */
export const measureVariants = async (request: VariantRequest): Promise<Map<string, VariantDivergence>> => {
  const { program, reference, dataset, context, blocks, variants } = request;
  const found = new Map<string, VariantDivergence>();
  const readings = outputReadings(reference, await carriedOutputs(dataset));
  const wanted = new Set(readings.map(({ value }) => value.name));
  const outputs = program.graph.outputs.filter(({ name }) => wanted.has(name));
  await withReferences({ program: reference, dataset, context }, readings, async (references, half) => {
    await walkSuffixes(
      { ...half, program, dataset, blocks, outputs, task: 'measuring' },
      ({ index }) => variants.some(({ from }) => from === index),
      async (visit) => {
        for (const { name, from, edit } of variants) {
          if (from !== visit.block.index) continue;
          const runs = await visit.lendEdited(edit, (compute) =>
            runDivergences(visit, compute, new Map(), { references, readings }),
          );
          const perRun = runs.map((nats) => (nats * runs.length) / Math.max(1, references.items));
          const nats = perRun.reduce((sum, value) => sum + value, 0) / Math.max(1, runs.length);
          found.set(name, { nats, runs: perRun });
          const counted = { done: found.size, total: variants.length, unit: 'variants', item: name };
          context.emit({ type: 'progress', task: 'measuring: one site at a time', ...counted });
        }
      },
    );
  });
  return found;
};

/** Computes the reference outputs, lends them together with half of the memory that is left, and lets them go. */
const withReferences = async (
  request: Pick<MeasureRequest, 'program' | 'dataset' | 'context'>,
  readings: readonly OutputReading[],
  use: (references: References, half: MeasureContext) => Promise<void>,
): Promise<void> => {
  const { context } = request;
  const half = { ...context, maxMemoryBytes: context.maxMemoryBytes / 2 };
  const directory = join(context.scratch.directory, 'references');
  mkdirSync(directory, { recursive: true });
  const store = new ActivationStore(directory, half.maxMemoryBytes);
  try {
    await use(await computeReferences(request, readings, store), half);
  } finally {
    store.close();
  }
};

/** The divergence in nats an item of a program with the given matrices (rows, columns) in place of its own. */
export type JointDivergence = (matrices: ReadonlyMap<Site, Float32Array>) => Promise<number>;

/**
 * Opens a program once for many choices of the weights of `sites` (one site for each constant), and lends a function
 * that measures the divergence of any of them from the program as it is.
 */
export const withJointDivergence = async (
  request: Pick<MeasureRequest, 'program' | 'dataset' | 'context'> & { readonly sites: readonly Site[] },
  use: (divergence: JointDivergence) => Promise<void>,
): Promise<void> => {
  const { program, dataset, sites } = request;
  const readings = outputReadings(program, await carriedOutputs(dataset));
  const originals = new Map(sites.map((site) => [site.weight.name, originalOf(site)]));
  const weights = sites.map(({ weight }) => weight);
  await withReferences(request, readings, (references, half) =>
    walkSuffixes(
      { ...half, program, dataset, outputs: readings.map(({ value }) => value), task: 'measuring' },
      ({ index }) => index === 0,
      (visit) =>
        visit.lend(weights, (compute) =>
          use(async (matrices) => {
            const changed = [...matrices].map(([site, matrix]) => [site.weight.name, arrayOf(site, matrix)] as const);
            return meanDivergence(visit, compute, new Map([...originals, ...changed]), { references, readings });
          }),
        ),
    ),
  );
};

/** Nats of each run. */
const runDivergences = async (
  visit: SuffixVisit,
  compute: SuffixRun,
  constants: ReadonlyMap<string, NumericArray>,
  { references, readings }: { readonly references: References; readonly readings: readonly OutputReading[] },
): Promise<Float64Array> => {
  const nats = new Float64Array(visit.runCount);
  for (let run = 0; run < visit.runCount; run++)
    nats[run] = await divergenceOf(readings, references.of(run), await compute(run, constants));
  return nats;
};

const meanDivergence = async (
  visit: SuffixVisit,
  compute: SuffixRun,
  constants: ReadonlyMap<string, NumericArray>,
  surroundings: { readonly references: References; readonly readings: readonly OutputReading[] },
): Promise<number> => {
  const runs = await runDivergences(visit, compute, constants, surroundings);
  return runs.reduce((sum, nats) => sum + nats, 0) / Math.max(1, surroundings.references.items);
};

const measureIn = async (
  visit: SuffixVisit,
  changes: readonly WeightChange[],
  surroundings: {
    readonly references: References;
    readonly readings: readonly OutputReading[];
    readonly context: MeasureContext;
  },
): Promise<Map<string, number>> => {
  const { context } = surroundings;
  const siteOf = new Map<Value, Site>();
  for (const { sites } of changes) for (const site of sites) siteOf.set(site.weight, site);
  const originals = new Map([...siteOf.values()].map((site) => [site.weight.name, originalOf(site)]));
  return visit.lend([...siteOf.keys()], async (compute) => {
    const found = new Map<string, number>();
    for (const change of changes) {
      const constants = new Map(originals);
      for (const site of change.sites) constants.set(site.weight.name, arrayOf(site, await change.matrixOf(site)));
      found.set(change.name, await meanDivergence(visit, compute, constants, surroundings));
      const task = `measuring: ${visit.block.name}`;
      context.emit({
        type: 'progress',
        task,
        done: found.size,
        total: changes.length,
        unit: 'changes',
        item: change.name,
      });
    }
    return found;
  });
};

const originalOf = (site: Site): NumericArray => {
  const tensor = siteTensor(site);
  return arrayFromBytes(tensor.dtype, tensor.shape, tensor.bytes());
};
