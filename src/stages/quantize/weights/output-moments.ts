import type { Site } from '../../../analysis/sites.ts';
import { gradientDiagonal, gradientMoment, lossScale } from '../../../curvature/moments.ts';
import type { OutputGradients } from '../../../curvature/predict.ts';
import { curvatureOf } from '../../../curvature/store.ts';
import { CompressError, formatError } from '../../../errors.ts';
import { exactSize, inSingle } from '../../../kernels/index.ts';
import type { SequentialRun } from './run-sequential.ts';

/** What is known of the gradients at a site's output. */
export interface SiteGradients extends OutputGradients {
  /** What tr(B E A Eᵀ) is multiplied by to be a loss in nats an item. */
  readonly scale: number;
}

/** B of sites by name. */
export interface OutputMoments {
  /** Undefined where no gradient reaches the site's output. */
  of(site: Site): SiteGradients | undefined;
}

/**
 * B of the sites named, of the unquantized model with labels drawn by the recipe's seed. A model that cannot be
 * differentiated has none: the descent then minimises output errors, and the report says why.
 */
export const outputMoments = async (run: SequentialRun, names: ReadonlySet<string>): Promise<OutputMoments> => {
  const { program, dataset, context } = run;
  try {
    const { sites } = await curvatureOf({ program, dataset, context, wanted: (site) => names.has(site.name) });
    return {
      of: ({ name }) => {
        const curvature = sites.get(name);
        if (!curvature?.gradients) return undefined;
        const moment = gradientMoment(curvature);
        return {
          diagonal: gradientDiagonal(curvature),
          // What large matrices are multiplied in takes half the memory.
          moment: moment && (curvature.rows > exactSize ? inSingle(moment) : moment),
          scale: lossScale(curvature),
        };
      },
    };
  } catch (error) {
    if (!(error instanceof CompressError) || !['unsupported', 'data'].includes(error.code)) throw error;
    const asked = run.units.some(({ name, chosenBy }) => names.has(name) && chosenBy === 'recipe');
    run.found({
      // Where the choice was left to this tool, what fits is no fallback.
      kind: asked ? 'fallback' : 'fact',
      text: `integers are improved for each output by itself, since the curvature cannot be had: ${formatError(error)}`,
    });
    return { of: () => undefined };
  }
};
