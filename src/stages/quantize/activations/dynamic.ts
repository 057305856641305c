import { findSites, type Site } from '../../../analysis/sites.ts';
import { checkSignal } from '../../../execution/interrupt.ts';
import { nameSource } from '../../../ir/edit/names.ts';
import { removeDead } from '../../../ir/edit/remove-dead.ts';
import type { Program } from '../../../ir/graph.ts';
import type { Model } from '../../../ir/model.ts';
import type { Finding } from '../../../recipe/events.ts';
import { selectSites } from '../../select-sites.ts';
import type { StageContext, StageResult } from '../../stage.ts';
import { newLowering } from './integer/form.ts';
import { integerForms, lowerSites } from './integer/lower.ts';
import { predictedRatio } from './integer/predict.ts';
import { probeSites } from './integer/probe.ts';
import type { DynamicOptions } from './options.ts';
import { prepareProgram } from './prepare/prepare.ts';
import { roundWeights } from './round-weights.ts';
import { smoothProgram } from './smooth/run.ts';
import { weightLimit } from './weight-store.ts';

/** Weights with fewer elements save less than the nodes of their integer form take: keeping them gives nothing away. */
const smallestWorthwhile = 256;

/** Sites that must stay in floating point, each with the reason. */
const findLossy = async (
  program: Program,
  sites: readonly Site[],
  options: DynamicOptions,
  context: StageContext,
): Promise<ReadonlyMap<Site, string>> => {
  const forms = integerForms(sites);
  const roundsInput = (site: Site): boolean => forms.get(site) !== 'Gather' && forms.get(site) !== 'DequantizeLinear';
  const measured = await probeSites(program, sites, options, context);
  const lossy = new Map<Site, string>();
  for (const site of sites) {
    const ratio = measured.get(site.name);
    if (ratio !== undefined && ratio < options.leastSnrDb)
      lossy.set(site, `its output would have a signal-to-noise ratio of ${ratio.toFixed(1)} dB`);
    if (ratio === undefined && roundsInput(site)) {
      const expected = predictedRatio(site);
      if (expected < options.leastSnrDb)
        lossy.set(
          site,
          `its input channels lie too far apart for one scale (about ${expected.toFixed(1)} dB to expect)`,
        );
    }
  }
  return lossy;
};

/** Scales inputs of products so that one range suits all of their channels, where calibration data exist. */
const smoothDynamic = async (
  program: Program,
  options: DynamicOptions,
  context: StageContext,
): Promise<readonly Finding[]> => {
  const { smooth, weightBits, granularity } = options;
  if (smooth === 'none' || (smooth === 'auto' && !context.calibration)) return [];
  const input = { kind: options.perToken ? 'row' : 'run' } as const;
  const { chosen } = selectSites(findSites(program), options);
  const request = { choice: smooth, input, limit: weightLimit(weightBits), granularity, isFloat: () => true };
  return smoothProgram(program, chosen, request, context);
};

/**
 * Dynamic 8-bit quantization: weights in integers, activations rounded at run time by the range that each tensor has
 * then. Branches of If are rewritten too. Sites that would lose too much stay in floating point and are reported: by
 * the measured error where calibration data exist, else by the one that the spread of the weight's channels predicts.
 * @throws CompressError 'numeric' for weights that are not finite.
 */
export const quantizeDynamic = async (
  model: Model,
  options: DynamicOptions,
  context: StageContext,
): Promise<StageResult> => {
  const prepared = prepareProgram(model.program);
  const smoothed = await smoothDynamic(prepared.program, options, context);
  const rounded = await roundWeights({ ...model, program: prepared.program }, options, context);
  const { program } = rounded.model;
  const { chosen, findings: unmatched } = selectSites(findSites(program), options);
  const lossy = await findLossy(program, chosen, options, context);
  const sites = chosen.filter((site) => !lossy.has(site));
  lowerSites(sites, newLowering(program, nameSource(program.graph), options), (site, form) => {
    checkSignal(context.signal);
    context.emit({ type: 'site-finished', stage: 'quantize', site: site.name, facts: { form } });
  });
  removeDead(program);
  const kept = [...lossy].map(([site, reason]): Finding => {
    const kind = site.rows * site.columns < smallestWorthwhile ? 'fact' : 'fallback';
    return { kind, text: `kept in float: ${reason}`, site: site.name };
  });
  return {
    model: { ...model, program },
    findings: [...prepared.findings, ...unmatched, ...smoothed, ...rounded.findings, ...kept],
  };
};
