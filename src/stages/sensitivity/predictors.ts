/** What is known of a change of one site's weights; undefined where it was not, or cannot be, found out. */
export interface ChangeFacts {
  /** |ΔW|² and |W|². */
  readonly weightError: number;
  readonly weightEnergy: number;
  /** tr(ΔW A ΔWᵀ) and tr(W A Wᵀ). */
  readonly outputError: number | undefined;
  readonly outputEnergy: number | undefined;
  /** ½ Σ_i B_ii (ΔW A ΔWᵀ)_ii an item. */
  readonly weightedOutputError: number | undefined;
  /** ½ tr(B ΔW A ΔWᵀ) an item. */
  readonly loss: number | undefined;
  /** Elements of the weight. */
  readonly elements: number;
  /** Trace and greatest eigenvalue of the Hessian over the weight's elements. */
  readonly hessianTrace: number | undefined;
  readonly topEigenvalue: number | undefined;
  /** 1 - mean cosine between what enters and leaves the site's block. */
  readonly blockInfluence: number | undefined;
  /** What weights alone suggest (learnedSensitivities). */
  readonly learned: number | undefined;
}

/** A way of guessing how much a change of a weight matters. */
export interface Predictor {
  readonly summary: string;
  /** What it takes: moments are there anyway, a Hessian means many passes, influence one, weights their spectra. */
  readonly needs: 'moments' | 'hessian' | 'influence' | 'weights';
  /** Grows with the damage; undefined where it says nothing. */
  score(facts: ChangeFacts): number | undefined;
}

const ratio = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined || b <= 0 ? undefined : a / b;

const times = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a * b;

/** Every predictor of sensitivity. */
export const predictors = {
  curvature: {
    summary: '½ tr(B ΔW A ΔWᵀ): the loss in nats by both Kronecker factors of the Fisher information',
    needs: 'moments',
    score: ({ loss }) => loss,
  },
  'gradient-weighted-error': {
    summary: 'output error weighted by the squared gradient of each output (AutoQuantize, gradient and error apart)',
    needs: 'moments',
    score: ({ weightedOutputError }) => weightedOutputError,
  },
  'relative-output-error': {
    summary: 'error of the output over the output, in squares',
    needs: 'moments',
    score: ({ outputError, outputEnergy }) => ratio(outputError, outputEnergy),
  },
  'output-error': {
    summary: 'mean square error of the output',
    needs: 'moments',
    score: ({ outputError }) => outputError,
  },
  'weight-error': {
    summary: 'squared error of the weights',
    needs: 'moments',
    score: ({ weightError }) => weightError,
  },
  'hessian-trace': {
    summary: 'mean trace of the Hessian times the squared error of the weights (HAWQ-V2, arXiv 1911.03852)',
    needs: 'hessian',
    score: ({ hessianTrace, elements, weightError }) => times(ratio(hessianTrace, elements), weightError),
  },
  'top-eigenvalue': {
    summary: 'greatest eigenvalue of the Hessian times the squared error of the weights (HAWQ, arXiv 1905.03696)',
    needs: 'hessian',
    score: ({ topEigenvalue, weightError }) => times(topEigenvalue, weightError),
  },
  'block-influence': {
    summary: 'how much the block turns what enters it (1 - cosine), times the relative error of the weights',
    needs: 'influence',
    score: ({ blockInfluence, weightError, weightEnergy }) => times(blockInfluence, ratio(weightError, weightEnergy)),
  },
  learned: {
    summary: 'a small model of the weights alone, trained on what was measured of other networks; no data',
    needs: 'weights',
    score: ({ learned }) => learned,
  },
} as const satisfies Record<string, Predictor>;

export type PredictorName = keyof typeof predictors;
