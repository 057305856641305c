import { findBlocks } from '../../analysis/blocks.ts';
import { learnedSensitivities } from '../../analysis/learned-sensitivity/predict.ts';
import { siteTensor } from '../../analysis/site-weights.ts';
import { takeSamples } from '../../calibration/dataset.ts';
import { blockInfluences } from '../../curvature/block-influence.ts';
import { hessianTraces, topEigenvalues } from '../../curvature/hessian.ts';
import { CompressError, formatError } from '../../errors.ts';
import type { Finding } from '../../recipe/events.ts';
import type { AnalyseRequest } from './analyse.ts';
import type { ChangeFacts, predictors } from './predictors.ts';
import type { Unit } from './units.ts';

/** Facts that do not depend on the format. */
export type ExtraFacts = Pick<ChangeFacts, 'hessianTrace' | 'topEigenvalue' | 'blockInfluence' | 'learned'>;

/** Finds out what the predictors that are asked for need beside the moments. */
export const extraFacts = async (
  request: AnalyseRequest,
  findings: Finding[],
): Promise<{ of(unit: Unit): ExtraFacts }> => {
  const { program, dataset, units, options, context } = request;
  const asked = (name: keyof typeof predictors): boolean => options.predictors.includes(name);
  const sites = units
    .map((unit) => unit.sites[0])
    .filter((site) => site.graph === program.graph && siteTensor(site).dtype === 'float32');
  const hessian = { program, dataset: takeSamples(dataset, options.hessianSamples), context, sites };
  const orNone = async <Key>(name: string, found: Promise<Map<Key, number>>): Promise<Map<Key, number>> => {
    try {
      return await found;
    } catch (error) {
      if (!(error instanceof CompressError) || !['unsupported', 'data'].includes(error.code)) throw error;
      findings.push({ kind: 'fallback', text: `${name} cannot be had: ${formatError(error)}` });
      return new Map();
    }
  };
  const none = new Map<string, number>();
  const traces = asked('hessian-trace') ? await orNone('the trace of the Hessian', hessianTraces(hessian)) : none;
  const eigenvalues = asked('top-eigenvalue')
    ? await orNone('the greatest eigenvalue of the Hessian', topEigenvalues(hessian))
    : none;
  const influences = asked('block-influence')
    ? await orNone('block influence', blockInfluences({ program, dataset, context }))
    : new Map<number, number>();
  const learned = asked('learned')
    ? await learnedSensitivities(
        program,
        units.map((unit) => unit.sites[0]),
        context.signal,
      )
    : none;
  const blockOf = new Map(
    findBlocks(program).flatMap((block) => block.sites.map((site): [string, number] => [site.name, block.index])),
  );
  return {
    of: ({ name }) => ({
      hessianTrace: traces.get(name),
      topEigenvalue: eigenvalues.get(name),
      blockInfluence: influences.get(blockOf.get(name) ?? -1),
      learned: learned.get(name),
    }),
  };
};
