import type { Site } from '../../analysis/sites.ts';
import { siteGrams } from '../../calibration/statistics/gram.ts';
import { gradientDiagonal, gradientMoment, inputMoment, lossScale, positionsPerItem } from '../../curvature/moments.ts';
import { curvatureOf } from '../../curvature/store.ts';
import { CompressError, formatError } from '../../errors.ts';
import { observeProgram } from '../../execution/observe.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';
import type { StageContext } from '../stage.ts';

/** What is known of a site's inputs and of the loss at its outputs. */
export interface SiteMoments {
  /** A = E[x xᵀ]: (columns, columns). */
  readonly a: Float64Array;
  /** B = E[g gᵀ]: (rows, rows); undefined: the identity stands for it. */
  readonly b: Float64Array | undefined;
  /** Nats an item per unit of tr(B ΔW A ΔWᵀ); 'relative' without gradients: errors count by the size of the output. */
  readonly scale: number | 'relative';
}

export interface Moments {
  /** Read from the store when asked for; not kept. */
  of(site: Site): SiteMoments;
  /** Times that the product is made for an item: 1 for a token, places for a picture. */
  positionsPerItem(site: Site): number;
  readonly findings: readonly Finding[];
}

export const diagonalMatrix = (diagonal: Float64Array): Float64Array => {
  const matrix = new Float64Array(diagonal.length ** 2);
  diagonal.forEach((value, index) => {
    matrix[index * diagonal.length + index] = value;
  });
  return matrix;
};

/** Moments of inputs alone, without gradients: errors are counted relative to the size of each output. */
export const inputMomentsOf = async (
  program: Program,
  sites: readonly Site[],
  context: StageContext,
): Promise<Moments> => {
  const { calibration, engine, scratch, emit, signal } = context;
  const grams = siteGrams(sites);
  const { observations } = grams;
  await observeProgram({
    program,
    dataset: calibration!,
    engine,
    observations,
    task: 'moments',
    scratch,
    emit,
    signal,
  });
  return {
    of: (site) => {
      const [gram] = grams.gramsOf(site)!;
      const count = Math.max(1, gram!.count);
      return { a: gram!.matrix().map((sum) => sum / count), b: undefined, scale: 'relative' };
    },
    positionsPerItem: (site) => grams.gramsOf(site)![0]!.count / Math.max(1, calibration!.length),
    findings: [],
  };
};

/** A and B of sites from the shared store; of the inputs alone where the program cannot be differentiated. */
export const momentsOf = async (program: Program, sites: readonly Site[], context: StageContext): Promise<Moments> => {
  const names = new Set(sites.map(({ name }) => name));
  try {
    const curvature = await curvatureOf({
      program,
      dataset: context.calibration!,
      context,
      wanted: ({ name }) => names.has(name),
    });
    return {
      of: (site) => {
        const found = curvature.sites.get(site.name)!;
        const diagonal = found.gradients?.kind === 'diagonal' ? gradientDiagonal(found) : undefined;
        return {
          a: inputMoment(found),
          b: diagonal ? diagonalMatrix(diagonal) : gradientMoment(found),
          scale: lossScale(found),
        };
      },
      positionsPerItem: (site) => positionsPerItem(curvature.sites.get(site.name)!),
      findings: [],
    };
  } catch (error) {
    if (!(error instanceof CompressError) || !['unsupported', 'data'].includes(error.code)) throw error;
    const text = `ranks are chosen by errors of outputs, since the curvature cannot be had: ${formatError(error)}`;
    return { ...(await inputMomentsOf(program, sites, context)), findings: [{ kind: 'fallback', text }] };
  }
};
