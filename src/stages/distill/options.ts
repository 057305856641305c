import { z } from 'zod';
import type { ChannelAxis } from '../../training/loss-graph.ts';
import type { FeatureLossName } from '../../training/losses/features.ts';
import { type DistributionLossName, distributionLosses } from '../../training/losses/table.ts';
import type { OptimizerName } from '../../training/optimizers/table.ts';
import { type ScheduleName, scheduleNames } from '../../training/schedules.ts';
import type { GridTraining } from '../../training/weights/grid.ts';

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
  readonly validateEvery: number | undefined;
  readonly patience: number;
}

const names = Object.keys(distributionLosses) as [DistributionLossName, ...DistributionLossName[]];
const optimizerNames = ['adamw', 'muon', 'sign-sgd'] as const satisfies readonly OptimizerName[];
const providers = ['cpu', 'cuda', 'webgpu', 'dml'] as const;
type Provider = (typeof providers)[number];
const positive = z.number().positive();
const count = z.int().min(1);
const share = z.number().min(0).max(1);
const featureLoss = z.enum(['mse', 'cosine', 'contrastive']);
const layerMap = z
  .record(z.string().regex(/^\d+$/), z.int().min(0))
  .describe('Teacher layer by student layer, from 0.');

const marker = z.union([z.string().min(1), z.array(z.int().min(0)).min(1)]);

const teacher = z.union([
  z.string().min(1),
  z.strictObject({
    path: z.string().min(1),
    weight: positive.default(1).describe('Share of this teacher among several.'),
  }),
]);

const distributionWish = z.union([
  positive,
  z.strictObject({
    weight: positive.default(1),
    mixture: share.optional().describe('Share in the mixture of the skewed and Jensen-Shannon losses.'),
  }),
]);

const hiddenWish = z.union([
  positive,
  z.strictObject({
    weight: positive.default(1),
    loss: featureLoss.default('mse'),
    layers: layerMap.optional().describe('Teacher layer by student layer, from 0; by default evenly spread.'),
  }),
]);

const squareWish = z.union([
  positive,
  z.strictObject({
    weight: positive.default(1),
    layers: layerMap.optional().describe('Teacher layer by student layer, from 0; by default the last of both.'),
  }),
]);

const losses = z
  .strictObject({
    ...Object.fromEntries(
      names.map((name) => [name, distributionWish.optional().describe(distributionLosses[name].summary)]),
    ),
    hidden: hiddenWish.optional().describe('Hidden states after the layers, projected where widths differ.'),
    attention: squareWish.optional().describe('Weights of attention; averaged over heads where their numbers differ.'),
    relations: squareWish
      .optional()
      .describe('How alike the hidden states of the positions of a sample are; widths may differ.'),
    features: z
      .array(
        z.strictObject({
          student: z.string().min(1).describe('Value of the student’s graph.'),
          teacher: z.string().min(1).optional().describe('Value of the teacher’s graph; the same name by default.'),
          weight: positive.default(1),
          loss: featureLoss.default('mse'),
          channels: z
            .enum(['first', 'last'])
            .optional()
            .describe('Axis of channels: the second (images; default of rank 4) or the last.'),
        }),
      )
      .optional()
      .describe('Named values to be alike, such as the output of an encoder.'),
  })
  .describe('What is made small: a weight for each loss (default forward-kl: 1).');

const distillInput = z.strictObject({
  teacher: z
    .union([teacher, z.array(teacher).min(1)])
    .default('input')
    .describe('Model to learn from: a path, "input" for the model that the recipe began with, or several.'),
  layers: z
    .array(z.int().min(0))
    .min(1)
    .optional()
    .describe('Layers that the student keeps of the present model, such as [0, 2, 4]; by default all.'),
  student: z
    .strictObject({
      config: z
        .record(z.string(), z.unknown())
        .default({})
        .describe('Keys of config.json that differ from the present model’s, such as hidden_size.'),
    })
    .optional()
    .describe('Train a model of the same family from fresh weights, instead of the present model.'),
  on_policy: z
    .strictObject({
      share: share.default(0.5).describe('Share of the samples of a step that the student generates.'),
      prompt: count.default(16).describe('Tokens of the data that a generated sample begins with.'),
      tokens: count.default(64).describe('Tokens that are generated.'),
      temperature: positive.default(1).describe('Of sampling.'),
    })
    .optional()
    .describe('Learn on texts that the student itself writes, as the teacher judges them.'),
  rationale: z
    .strictObject({
      begin: marker.describe('What a rationale begins with: a text, or token ids.'),
      end: marker.describe('What it ends with.'),
      weight: z.number().min(0).describe('Weight of its tokens, where others have 1.'),
    })
    .optional()
    .describe('Weigh the tokens of rationales (chains of thought) apart from those of answers.'),
  targets: z.array(z.string().min(1)).min(1).optional().describe('Weights to train (default all), as in quantize.'),
  ignore: z.array(z.string().min(1)).optional().describe('Weights to leave as they are.'),
  adapters: z
    .strictObject({
      rank: count.default(8),
      alpha: positive.optional().describe('Their product is multiplied by alpha / rank (default alpha = rank).'),
    })
    .optional()
    .describe(
      'Train low-rank adapters of the matrices, merged at the end, instead of all weights. Quantized weights have none: their integers are trained.',
    ),
  scales: z
    .enum(['learned', 'fixed'])
    .default('learned')
    .describe('Whether the scales of quantized weights are trained with their integers.'),
  zeros: z
    .enum(['learned', 'fixed'])
    .default('fixed')
    .describe('Whether the zero points of quantized weights are trained with their integers.'),
  integers: z
    .enum(['trained', 'fixed'])
    .default('trained')
    .describe('fixed: of quantized weights only the scales are trained.'),
  losses: losses.optional(),
  vocabulary: z
    .enum(['same', 'shared'])
    .default('same')
    .describe(
      'shared: where one model has more classes (a padded vocabulary), the first ones that both have are compared.',
    ),
  temperature: positive.default(1).describe('Softens both distributions; losses are multiplied by its square.'),
  steps: count.optional().describe('Steps to train (default 300).'),
  tokens: count.optional().describe('Tokens (images, samples) to train on, instead of steps.'),
  batch: count.default(8).describe('Samples of a step.'),
  micro_batch: count.optional().describe('Samples run at once; by default as many as memory allows.'),
  learning_rate: z
    .union([positive, z.literal('auto')])
    .default('auto')
    .describe(
      'Greatest learning rate, the same for all weights. auto: steps relative to the size of each weight, the smaller, the nearer the student starts to its teacher.',
    ),
  schedule: z.enum(scheduleNames as [ScheduleName, ...ScheduleName[]]).default('cosine'),
  warmup: share.default(0.05).describe('Share of the steps in which the learning rate grows.'),
  optimizer: z.enum(optimizerNames).default('adamw'),
  weight_decay: z.number().min(0).default(0),
  clip_norm: positive.default(1).describe('Greatest length of a gradient.'),
  average: z
    .number()
    .min(0)
    .max(0.99999)
    .default(0)
    .describe('Decay of a running average of the weights that is judged and kept; 0: none.'),
  hold_out: z
    .number()
    .min(0)
    .max(0.5)
    .default(0.06)
    .describe('Share of the samples to judge by; the best judged weights are kept.'),
  provider: z
    .enum(providers)
    .default('cpu')
    .describe(
      'Where the student is trained: cpu, or what the installed onnxruntime-node has beside it. Only cpu gives the same bytes everywhere.',
    ),
  validate_every: count.optional().describe('Steps between judgements (default a tenth of all).'),
  patience: count.default(5).describe('Judgements without a better one before training ends.'),
});

type DistillInput = z.output<typeof distillInput>;

const teachersOf = (written: DistillInput['teacher']): TeacherChoice[] =>
  (Array.isArray(written) ? written : [written]).map((one) =>
    typeof one === 'string' ? { path: one, weight: 1 } : one,
  );

const distributionsOf = (written: DistillInput['losses']): DistributionWish[] => {
  const given = (written ?? {}) as Readonly<Record<string, z.output<typeof distributionWish> | undefined>>;
  return names.flatMap((name): DistributionWish[] => {
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
    validateEvery: input.validate_every,
    patience: input.patience,
  };
});
