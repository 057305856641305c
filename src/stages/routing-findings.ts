import { findExpertLayers } from '../analysis/experts/layers.ts';
import { countsOf, evennessOf, frequentSteps } from '../analysis/experts/routing.ts';
import type { Dataset } from '../calibration/dataset.ts';
import { traceRouting } from '../calibration/statistics/routing.ts';
import type { Program } from '../ir/graph.ts';
import type { Finding } from '../recipe/events.ts';
import type { StageContext } from './stage.ts';

/** Steps to the next sparse layer that are told of each layer. */
const mostSteps = 3;

const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;

/**
 * How the experts of a mixture are used: for each sparse layer the share of calls that each expert gets, how evenly that
 * is, and the steps to the next sparse layer that most tokens take. One pass over the data; nothing for other models.
 */
export const routingFindings = async (
  program: Program,
  dataset: Dataset,
  context: Pick<StageContext, 'engine' | 'scratch' | 'emit' | 'signal'>,
): Promise<Finding[]> => {
  const layers = findExpertLayers(program);
  if (layers.length === 0) return [];
  const trace = await traceRouting(layers, { ...context, program, dataset });
  return layers.map(({ block, experts, chosen }, index): Finding => {
    const [own, next] = [trace.layers[index]!, trace.layers[index + 1]];
    const counts = countsOf(own);
    const shares = counts.map((count) => count / Math.max(1, own.choices.length));
    const [most, least] = [counts.indexOf(Math.max(...counts)), counts.indexOf(Math.min(...counts))];
    const steps = next ? frequentSteps(own, next, trace.tokens, mostSteps) : [];
    const unused = counts.filter((count) => count === 0).length;
    const paths = steps.map(({ from, to, share }) => `${from} → ${to} (${percent(share)})`);
    return {
      kind: unused > 0 ? 'warning' : 'fact',
      text: [
        `experts of block ${block}: each token goes to ${chosen} of ${experts.length}; most to expert ${most} (${percent(shares[most]!)} of the calls), least to ${least} (${percent(shares[least]!)}), evenness ${evennessOf(own).toFixed(2)}`,
        ...(unused > 0
          ? [
              `${unused} are called by no token of the calibration data: more samples, or other ones, would show what they need`,
            ]
          : []),
        ...(paths.length > 0 ? [`most frequent steps to the next sparse layer: ${paths.join(', ')}`] : []),
      ].join('; '),
      facts: {
        block,
        tokens: trace.tokens,
        evenness: evennessOf(own),
        unused,
        ...Object.fromEntries(counts.map((count, expert) => [`calls of expert ${expert}`, count])),
        ...Object.fromEntries(steps.map(({ from, to, share }) => [`path ${from} to ${to}`, share])),
      },
    };
  });
};
