import type { z } from 'zod';
import type { ChannelAxis } from '../../training/loss-graph.ts';
import type { FeatureLossName } from '../../training/losses/features.ts';
import { type DistributionLossName, distributionLosses } from '../../training/losses/table.ts';
import type { OptimizerName } from '../../training/optimizers/table.ts';
import type { ScheduleName } from '../../training/schedules.ts';
import type { Precision } from '../../training/step-program.ts';
import type { GridTraining } from '../../training/weights/grid.ts';
import {
  distillInput,
  type distributionWish,
  type hiddenWish,
  type layerMap,
  lossNames,
  type Provider,
  type squareWish,
} from './input.ts';

export interface TeacherChoice {
  /** 'input': the model that the recipe began with. */
  readonly path: string;
  /** Share among all teachers; not yet scaled to sum 1. */
  readonly weight: number;
}

export interface DistributionWish {
  readonly name: DistributionLossName;
  readonly weight: number;
  readonly mixture: number;
}

/** Teacher layers by student layers. */
export type LayerMap = readonly (readonly [student: number, teacher: number])[];

export interface HiddenWish {
  readonly weight: number;
  readonly loss: FeatureLossName;
  /** undefined: evenly spread, or as inherited. */
  readonly layers: LayerMap | undefined;
}

/** Distributions of positions over positions that are to be the teacher's. */
export interface SquareWish {
  readonly weight: number;
  /** undefined: the last layers. */
  readonly layers: LayerMap | undefined;
}

export interface FeatureWish {
  readonly student: string;
  readonly teacher: string;
  readonly weight: number;
  readonly loss: FeatureLossName;
  /** undefined: by the rank of the student's value. */
  readonly channels: ChannelAxis | undefined;
}

/** How long to train: the first that is given, else a usual number of steps. */
export type Budget =
  | { readonly kind: 'steps'; readonly steps: number }
  | { readonly kind: 'items'; readonly items: number };

/** Samples that the student writes itself (Agarwal et al. 2024, GKD, section 3). */
export interface OnPolicyOptions {
  readonly share: number;
  readonly prompt: number;
  readonly tokens: number;
  readonly temperature: number;
  readonly replay: number;
}

/** Weight of tokens between two markers (Hsieh et al. 2023, Distilling Step-by-Step, section 3.2). */
export interface RationaleOptions {
  readonly begin: string | readonly number[];
  readonly end: string | readonly number[];
  readonly weight: number;
}

export interface DistillOptions {
  readonly teachers: readonly TeacherChoice[];
  /** Layers of the present model that the student keeps; undefined: all. */
  readonly layers: readonly number[] | undefined;
  /** Keys of config.json of a student of the same family that begins with fresh weights; undefined: the present model. */
  readonly student: Readonly<Record<string, unknown>> | undefined;
  readonly onPolicy: OnPolicyOptions | undefined;
  readonly rationale: RationaleOptions | undefined;
  readonly targets: readonly string[];
  readonly ignore: readonly string[];
  readonly adapters: { readonly rank: number; readonly alpha: number } | undefined;
  /** Of quantized weights. 'fixed': only their scales are trained. */
  readonly integers: 'trained' | 'fixed';
  readonly scales: GridTraining;
  readonly zeros: GridTraining;
  readonly distributions: readonly DistributionWish[];
  readonly hidden: HiddenWish | undefined;
  readonly features: readonly FeatureWish[];
  readonly attention: SquareWish | undefined;
  readonly relations: SquareWish | undefined;
  /** 'shared': only the classes that student and teachers both have are compared, the first ones. */
  readonly vocabulary: 'same' | 'shared';
  readonly temperature: number;
  readonly budget: Budget;
  readonly batch: number;
  readonly microBatch: number | undefined;
  readonly learningRate: number | 'auto';
  readonly schedule: ScheduleName;
  /** Share of the steps. */
  readonly warmup: number;
  readonly optimizer: OptimizerName;
  readonly weightDecay: number;
  readonly clipNorm: number;
  readonly average: number;
  readonly holdOut: number;
  /** Execution provider of onnxruntime that the student is trained with. */
  readonly provider: Provider;
  readonly precision: Precision;
  readonly validateEvery: number | undefined;
  readonly patience: number;
}

type DistillInput = z.output<typeof distillInput>;

const teachersOf = (written: DistillInput['teacher']): TeacherChoice[] =>
  (Array.isArray(written) ? written : [written]).map((one) =>
    typeof one === 'string' ? { path: one, weight: 1 } : one,
  );

const distributionsOf = (written: DistillInput['losses']): DistributionWish[] => {
  const given = (written ?? {}) as Readonly<Record<string, z.output<typeof distributionWish> | undefined>>;
  return lossNames.flatMap((name): DistributionWish[] => {
    const wish = given[name];
    if (wish === undefined) return [];
    const { usualMixture = 0 }: { readonly usualMixture?: number } = distributionLosses[name];
    return [
      typeof wish === 'number'
        ? { name, weight: wish, mixture: usualMixture }
        : { name, weight: wish.weight, mixture: wish.mixture ?? usualMixture },
    ];
  });
};

const hiddenOf = (written: z.output<typeof hiddenWish> | undefined): HiddenWish | undefined => {
  if (written === undefined) return undefined;
  if (typeof written === 'number') return { weight: written, loss: 'mse', layers: undefined };
  return { weight: written.weight, loss: written.loss, layers: mapOf(written.layers) };
};

const mapOf = (layers: z.output<typeof layerMap> | undefined): LayerMap | undefined =>
  layers && Object.entries(layers).map(([student, teacher]) => [Number(student), teacher] as const);

const squareOf = (written: z.output<typeof squareWish> | undefined): SquareWish | undefined => {
  if (written === undefined) return undefined;
  if (typeof written === 'number') return { weight: written, layers: undefined };
  return { weight: written.weight, layers: mapOf(written.layers) };
};

/** Strict options of the stage: every default filled in. */
export const distillOptions = distillInput.transform((input, issues): DistillOptions => {
  const { losses: wished, steps, tokens } = input;
  if (steps !== undefined && tokens !== undefined)
    issues.addIssue({
      code: 'custom',
      message: '"tokens" and "steps" both say how long to train: keep one',
      path: ['tokens'],
    });
  if (input.integers === 'fixed' && (input.scales === 'fixed' || input.zeros === 'learned'))
    issues.addIssue({
      code: 'custom',
      message: 'with fixed "integers" the scales are trained and nothing else: leave "scales" and "zeros" out',
      path: ['integers'],
    });
  if (input.layers && input.student)
    issues.addIssue({
      code: 'custom',
      message: '"layers" keeps layers of the present model and "student" makes a new one: keep one of them',
      path: ['student'],
    });
  if (input.precision === 'mixed' && input.provider === 'cpu')
    issues.addIssue({
      code: 'custom',
      message:
        'processors compute products in half precision more slowly than in single: "precision: mixed" needs a "provider" (cuda, webgpu, dml)',
      path: ['precision'],
    });
  const distributions = distributionsOf(wished);
  if (input.on_policy && distributions.some(({ name }) => name === 'cross-entropy'))
    issues.addIssue({
      code: 'custom',
      message: 'what the student generates has no labels: "on_policy" goes with losses against the teacher only',
      path: ['on_policy'],
    });
  const hidden = hiddenOf(wished?.hidden as z.output<typeof hiddenWish> | undefined);
  const features = (wished?.features ?? []).map((feature) => ({
    ...feature,
    teacher: feature.teacher ?? feature.student,
    channels: feature.channels,
  }));
  const attention = squareOf(wished?.attention as z.output<typeof squareWish> | undefined);
  const relations = squareOf(wished?.relations as z.output<typeof squareWish> | undefined);
  const nothing = distributions.length + features.length === 0 && !hidden && !attention && !relations;
  return {
    teachers: teachersOf(input.teacher),
    layers: input.layers,
    student: input.student?.config,
    onPolicy: input.on_policy,
    rationale: input.rationale,
    targets: input.targets ?? ['*'],
    ignore: input.ignore ?? [],
    adapters: input.adapters && { rank: input.adapters.rank, alpha: input.adapters.alpha ?? input.adapters.rank },
    integers: input.integers,
    scales: input.scales,
    zeros: input.zeros,
    distributions: nothing ? [{ name: 'forward-kl', weight: 1, mixture: 0 }] : distributions,
    hidden,
    features,
    attention,
    relations,
    vocabulary: input.vocabulary,
    temperature: input.temperature,
    budget: tokens === undefined ? { kind: 'steps', steps: steps ?? 300 } : { kind: 'items', items: tokens },
    batch: input.batch,
    microBatch: input.micro_batch,
    learningRate: input.learning_rate,
    schedule: input.schedule,
    warmup: input.warmup,
    optimizer: input.optimizer,
    weightDecay: input.weight_decay,
    clipNorm: input.clip_norm,
    average: input.average,
    holdOut: input.hold_out,
    provider: input.provider,
    precision: input.precision,
    validateEvery: input.validate_every,
    patience: input.patience,
  };
});
