import { findBlocks } from '../../../analysis/blocks.ts';
import type { Site } from '../../../analysis/sites.ts';
import type { Curvature } from '../../../curvature/moments.ts';
import { curvatureOf } from '../../../curvature/store.ts';
import { CompressError, formatError, internalError } from '../../../errors.ts';
import { runBlocks } from '../../../execution/block-runner.ts';
import { cloneProgram } from '../../../ir/clone.ts';
import { setConstant } from '../../../ir/edit/replace.ts';
import type { Program, Value } from '../../../ir/graph.ts';
import { inferShapes } from '../../../ir/inference/index.ts';
import type { Model } from '../../../ir/model.ts';
import { PackedTensor } from '../../../ir/packed-tensor.ts';
import { constantOf } from '../../../ir/walk.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { StageContext, StageResult } from '../../stage.ts';
import { decodeCheckpoint, encodeCheckpoint } from '../weights/checkpoint.ts';
import { type RefinedBlock, type RefinedSite, refineBlock } from './block.ts';
import type { RefineOptions } from './options.ts';

/** The curvature of the original model where errors are to be weighted by it; a fallback where it cannot be had. */
const metricOf = async (
  program: Program,
  options: RefineOptions,
  context: StageContext,
  found: (finding: Finding) => void,
): Promise<Curvature | undefined> => {
  if (options.metric === 'error') return undefined;
  try {
    return await curvatureOf({ program, dataset: context.calibration!, context });
  } catch (error) {
    if (!(error instanceof CompressError) || !['unsupported', 'data'].includes(error.code)) throw error;
    found({
      kind: 'fallback',
      text: `errors of blocks are not weighted, since the curvature cannot be had: ${formatError(error)}`,
    });
    return undefined;
  }
};

/**
 * Trains the integers of rounded weights block by block against the original model (block reconstruction: Li et al.
 * 2021, BRECQ; Cheng et al. 2023, SignRound; Chen et al. 2024, EfficientQAT). A block that a checkpoint holds is only
 * run through.
 * @param original the model before rounding; @param rounded the same graph with integers.
 * @throws 'unsupported' for weights that are not float32, 'data' for samples that do not fit, as `train`.
 */
export const refineWeights = async (
  original: Model,
  rounded: StageResult,
  options: RefineOptions,
  context: StageContext,
): Promise<StageResult> => {
  const { calibration: dataset, engine, maxMemoryBytes, scratch, emit, signal, checkpoints } = context;
  if (!dataset) throw internalError('weights were to be refined without data');
  const program = cloneProgram(rounded.model.program);
  inferShapes(program);
  const findings: Finding[] = [];
  const curvature = await metricOf(original.program, options, context, (finding) => findings.push(finding));
  const weights = new Map([...original.program.graph.initializers].map((value) => [value.name, value]));
  const homes = homesOf(program);
  const refinable = (site: Site): RefinedSite | undefined => {
    const packed = constantOf(site.weight);
    const weight = weights.get(site.weight.name);
    if (!(packed instanceof PackedTensor) || !weight || constantOf(weight) instanceof PackedTensor) return undefined;
    if (homes.get(site.weight)!.size > 1) return undefined;
    if (packed.facts.dtype === 'float32') return { site, packed, original: { ...site, weight } };
    throw new CompressError({
      code: 'unsupported',
      message: `rounded ${packed.facts.dtype} weights cannot be refined`,
      where: { site: site.name, key: 'refine' },
      hint: 'Convert the model to float32 first (quantize: { precision: float32 }).',
    });
  };
  /** Puts what a checkpoint holds of a block into the program. */
  const restore = (sites: readonly RefinedSite[], bytes: Uint8Array): Record<string, number> => {
    const restored = decodeCheckpoint(bytes);
    for (const { site, packed } of sites) {
      const one = restored.get(site.name);
      if (one) setConstant(site.weight, new PackedTensor({ ...packed.facts, ...one.packing }));
    }
    return { ...restored.values().next().value?.facts };
  };
  await runBlocks(
    {
      program,
      dataset,
      engine,
      maxMemoryBytes: maxMemoryBytes / 2,
      original: cloneProgram(original.program),
      scratch,
      task: 'refining',
      emit,
      signal,
    },
    async (visit) => {
      const { name, index } = visit.block;
      const distinct = new Map(visit.block.sites.map((site) => [site.weight, site]));
      const sites = [...distinct.values()].flatMap((site) => refinable(site) ?? []);
      if (sites.length === 0) return;
      const key = `refined-block-${index}`;
      const kept = checkpoints.get(key);
      if (kept) {
        findings.push(blockFinding(name, restore(sites, kept)));
        return;
      }
      const refined = await refineBlock({ program, visit, sites, curvature, options, context });
      if (!refined) return;
      const { stopped } = refined.result;
      if (stopped) findings.push({ kind: 'fallback', text: `${name}: the best state is kept: ${stopped.text}` });
      for (const { site } of sites) setConstant(site.weight, refined.tensors.get(site.name)!);
      const facts = factsOf(refined);
      const rounded = [...refined.tensors].map(
        ([site, { facts: packing }]) => [site, { packing, facts, fallbacks: [] }] as const,
      );
      checkpoints.put(key, encodeCheckpoint(new Map(rounded)));
      findings.push(blockFinding(name, facts));
    },
  );
  return { model: { ...rounded.model, program }, findings: [...rounded.findings, ...findings] };
};

/** The blocks that read each constant. */
const homesOf = (program: Program): Map<Value, Set<number>> => {
  const homes = new Map<Value, Set<number>>();
  for (const block of findBlocks(program))
    for (const { weight } of block.sites) homes.set(weight, (homes.get(weight) ?? new Set()).add(block.index));
  return homes;
};

const factsOf = ({ result, weighted }: RefinedBlock): Record<string, number> => {
  const { step: steps, start, best, bestStep } = result;
  const judged = start === undefined || best === undefined ? {} : { error_before: start, error_after: best };
  return { steps, best_step: bestStep, ...judged, weighted: weighted ? 1 : 0 };
};

const blockFinding = (name: string, facts: Readonly<Record<string, number>>): Finding => ({
  kind: 'fact',
  text: `${name} refined: ${facts.steps} steps, kept step ${facts.best_step}`,
  facts,
});
