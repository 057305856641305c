import { measureCost } from '../../analysis/cost.ts';
import { allocateOptions, type CompressionOption, sumCosts } from '../../curvature/options.ts';
import { refitProgram } from '../../curvature/refit-walk.ts';
import { CompressError, internalError } from '../../errors.ts';
import { checkSignal } from '../../execution/interrupt.ts';
import { cloneProgram } from '../../ir/clone.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import type { Model } from '../../ir/model.ts';
import type { Finding } from '../../recipe/events.ts';
import { momentsOf } from '../factorize/site-moments.ts';
import type { StageContext, StageResult } from '../stage.ts';
import { choiceOfGroup, type ShareChoice } from './group-choice.ts';
import { findShareGroups } from './groups.ts';
import type { SharingOption } from './methods/method.ts';
import type { ShareOptions } from './options.ts';
import { shareSites } from './share-sites.ts';

/** The stored parameters of weights in no group are not touched: the ratio is of the chosen ones alone. */
const findingsOf = (
  before: Model,
  after: Model,
  choices: readonly ShareChoice[],
  picks: readonly CompressionOption<SharingOption | undefined>[],
): Finding[] => {
  const dense = sumCosts(choices.map(({ options }) => options[0]!.cost));
  const now = sumCosts(picks.map(({ cost }) => cost));
  const loss = picks.reduce((sum, pick) => sum + pick.loss, 0);
  const shared = picks.filter(({ data }) => data !== undefined).length;
  const percent = (a: number, b: number): string => `${((100 * a) / Math.max(1, b)).toPrecision(3)} %`;
  return [
    {
      kind: 'fact',
      text: `${shared} of ${picks.length} groups of layers share: ${percent(now.parameters, dense.parameters)} of their stored parameters, ${percent(now.operations, dense.operations)} of their operations, predicted loss ${loss.toPrecision(3)} nats an item`,
      facts: {
        parameters_before: dense.parameters,
        parameters_after: now.parameters,
        operations_before: dense.operations,
        operations_after: now.operations,
        bytes_before: measureCost(before.program).storedBytes,
        bytes_after: measureCost(after.program).storedBytes,
        predicted_loss: loss,
      },
    },
    {
      kind: 'fact',
      text: 'sharing saves bytes on disk; runtimes that fold constants hold mixed weights of every layer in memory, and operations are those above',
    },
  ];
};

/**
 * Layers that read the same weights: groups of sites that do the same in different blocks share a basis, atoms or one
 * weight, under one ratio of stored parameters that the predicted losses of all groups compete for; then what writes to
 * the residual stream and is private is corrected against the original.
 * @throws 'mismatch' when nothing can be shared or the ratio cannot be met; as `curvatureOf` and `refitProgram`.
 */
export const runShare = async (model: Model, options: ShareOptions, context: StageContext): Promise<StageResult> => {
  const { calibration, engine, emit, signal, maxMemoryBytes, scratch, checkpoints } = context;
  if (!calibration) throw internalError('the share stage was started without calibration data');
  const program = cloneProgram(model.program);
  const { groups, kept, findings } = findShareGroups(program, options);
  if (groups.length === 0)
    throw new CompressError({
      code: 'mismatch',
      message: 'no layers can share weights',
      hint: [...new Set(kept.values())].slice(0, 3).join('; ') || 'The model has no weight products.',
    });
  const moments = await momentsOf(
    program,
    groups.flatMap(({ sites }) => sites),
    context,
  );
  const choices: ShareChoice[] = [];
  for (const group of groups) {
    checkSignal(signal);
    choices.push(await choiceOfGroup(group, moments, options, signal));
    const [done, total] = [choices.length, groups.length];
    emit({ type: 'progress', task: 'sharing', done, total, unit: 'groups', item: group.name });
  }
  const dense = sumCosts(choices.map((choice) => choice.options[0]!.cost));
  const { picks } = allocateOptions(choices, {
    kind: 'cost',
    measure: 'parameters',
    most: Math.floor(options.share * dense.parameters),
  });
  for (const [index, { sites, name }] of groups.entries()) {
    const { data, label, loss } = picks[index]!;
    if (data) shareSites(sites, await data.weights());
    emit({ type: 'site-finished', stage: 'share', site: name, facts: { chosen: label, predicted_loss: loss } });
  }
  inferShapes(program);
  if (options.refit)
    await refitProgram({
      program,
      original: model.program,
      dataset: calibration,
      engine,
      ridge: options.refit.ridge,
      checkpoints,
      maxMemoryBytes,
      scratch,
      emit,
      signal,
    });
  const shared = { ...model, program };
  return { model: shared, findings: [...findings, ...moments.findings, ...findingsOf(model, shared, choices, picks)] };
};
