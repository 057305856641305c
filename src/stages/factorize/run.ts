import { learnedSensitivities } from '../../analysis/learned-sensitivity/predict.ts';
import type { Site } from '../../analysis/sites.ts';
import { type CompressionChoice, type OptionAllocation, sumCosts } from '../../curvature/options.ts';
import type { FactoredWeight } from '../../curvature/refit-factors.ts';
import { CompressError, internalError } from '../../errors.ts';
import { checkSignal } from '../../execution/interrupt.ts';
import { cloneProgram } from '../../ir/clone.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import type { Model } from '../../ir/model.ts';
import type { Finding } from '../../recipe/events.ts';
import { chosenSites, refit } from '../refit.ts';
import type { StageContext, StageResult } from '../stage.ts';
import { allocateRanks } from './allocate-ranks.ts';
import { factorSite } from './factor-site.ts';
import { formOptions } from './forms/index.ts';
import { factoredWeight, type RankChoice, rankOptions, type Spectrum, spectrumOf } from './low-rank.ts';
import { mergedFinding, mergeProducts } from './merge-products.ts';
import type { FactorizeOptions } from './options.ts';
import { selectFactored } from './select.ts';
import { inputMomentsOf, momentsOf } from './site-moments.ts';

const stage = 'factorize';

/** Spectra by site; decompositions are kept while they fit the memory and made again where they do not. */
class Spectra {
  readonly #kept = new Map<string, Spectrum>();
  readonly #make: (site: Site) => Promise<Spectrum>;
  #room: number;

  constructor(make: (site: Site) => Promise<Spectrum>, maxMemoryBytes: number) {
    this.#make = make;
    this.#room = maxMemoryBytes;
  }

  async of(site: Site): Promise<Spectrum> {
    const known = this.#kept.get(site.name);
    if (known) return known;
    const made = await this.#make(site);
    const bytes = 16 * Math.min(site.rows, site.columns) * (site.rows + site.columns);
    if (bytes <= this.#room) {
      this.#room -= bytes;
      this.#kept.set(site.name, made);
    }
    return made;
  }
}

/** A choice whose losses, relative to the size of outputs, count by a sensitivity. */
const weighted = (choice: CompressionChoice<RankChoice>, by = 1): CompressionChoice<RankChoice> => ({
  ...choice,
  options: choice.options.map((option) => ({ ...option, loss: by * option.loss })),
});

/** What the report says of the allocation and of the refit. */
const findingsOf = (
  choices: readonly CompressionChoice<RankChoice>[],
  allocation: OptionAllocation<RankChoice>,
): Finding[] => {
  const before = sumCosts(choices.map(({ options }) => options[0]!.cost));
  const factored = allocation.picks.filter(({ data }) => data !== 'dense').length;
  const share = (100 * allocation.cost.parameters) / before.parameters;
  const facts = {
    parameters_before: before.parameters,
    parameters_after: allocation.cost.parameters,
    operations_before: before.operations,
    operations_after: allocation.cost.operations,
    predicted_loss: allocation.loss,
    ...(allocation.lowerBound === undefined ? {} : { lower_bound: allocation.lowerBound }),
  };
  return [
    {
      kind: 'fact',
      text: `${factored} of ${choices.length} weights in factors: ${share.toPrecision(3)} % of their parameters, predicted loss ${allocation.loss.toPrecision(3)} nats an item`,
      facts,
    },
  ];
};

/**
 * Weights as products of two smaller ones: each is decomposed in the metric of the method, ranks (and what stays whole)
 * are chosen together under one budget, and what writes to the residual stream is corrected against the original.
 * @throws 'mismatch' when nothing can be factorised or the budget cannot be met; as `curvatureOf` and `refitProgram`.
 */
export const runFactorize = async (
  model: Model,
  options: FactorizeOptions,
  context: StageContext,
): Promise<StageResult> => {
  const { calibration, emit, signal, maxMemoryBytes } = context;
  if (!calibration) throw internalError('the factorize stage was started without calibration data');
  const program = cloneProgram(model.program);
  const { chosen, kept, findings } = selectFactored(program, options);
  if (chosen.length === 0)
    throw new CompressError({
      code: 'mismatch',
      message: 'no weight can be factorised',
      hint: [...new Set(kept.values())].slice(0, 3).join('; ') || 'The model has no weight products.',
    });
  const learned = options.allocation === 'learned' ? await learnedSensitivities(program, chosen, signal) : undefined;
  const moments = await (learned ? inputMomentsOf : momentsOf)(program, chosen, context);
  const spectra = new Spectra((site) => spectrumOf(site, moments.of(site), options.method, signal), maxMemoryBytes);
  const choices: CompressionChoice<RankChoice>[] = [];
  for (const site of chosen) {
    checkSignal(signal);
    const { losses } = await spectra.of(site);
    const positionsPerItem = moments.positionsPerItem(site);
    const { multiple } = options;
    const ranked = rankOptions(site, losses, { positionsPerItem, multiple });
    const request = { site, moments: moments.of(site), positionsPerItem, multiple, signal };
    const forms = await formOptions(options.forms, request);
    choices.push(weighted({ ...ranked, options: [...ranked.options, ...forms] }, learned?.get(site.name)));
    const [done, total] = [choices.length, chosen.length];
    emit({ type: 'progress', task: 'decomposing weights', done, total, unit: 'weights', item: site.name });
  }
  const allocation = allocateRanks(choices, options);
  const factored = new Map<string, FactoredWeight>();
  for (const [index, site] of chosen.entries()) {
    const { data: rank, loss, label } = allocation.picks[index]!;
    if (typeof rank === 'number') {
      factored.set(site.output.name, factoredWeight(site, moments.of(site), options.method, signal));
      factorSite(site, (await spectra.of(site)).decomposition.factors(rank), rank);
    } else if (rank !== 'dense') rank(site);
    emit({ type: 'site-finished', stage, site: site.name, facts: { chosen: label, predicted_loss: loss } });
  }
  inferShapes(program);
  const wanted = chosenSites(model.program, options);
  const corrected = options.refit
    ? await refit({ ...options.refit, program, original: model.program, wanted, factored }, context)
    : [];
  const merged = await mergeProducts(program, signal);
  inferShapes(program);
  return {
    model: { ...model, program },
    findings: [
      ...findings,
      ...moments.findings,
      ...findingsOf(choices, allocation),
      ...corrected,
      ...mergedFinding(merged),
    ],
  };
};
