import { z } from 'zod';
import { type DistributionLossName, distributionLosses } from '../../training/losses/table.ts';
import type { OptimizerName } from '../../training/optimizers/table.ts';
import { type ScheduleName, scheduleNames } from '../../training/schedules.ts';

// The stage's keys as recipes write them; options.ts fills in what is left out.

/** Names of the losses between distributions. */
export const lossNames = Object.keys(distributionLosses) as [DistributionLossName, ...DistributionLossName[]];
const optimizerNames = ['adamw', 'muon', 'sign-sgd'] as const satisfies readonly OptimizerName[];
const providers = ['cpu', 'cuda', 'webgpu', 'dml'] as const;
export type Provider = (typeof providers)[number];
const positive = z.number().positive();
const count = z.int().min(1);
const share = z.number().min(0).max(1);
const featureLoss = z.enum(['mse', 'cosine', 'contrastive']);
export const layerMap = z
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

export const distributionWish = z.union([
  positive,
  z.strictObject({
    weight: positive.default(1),
    mixture: share.optional().describe('Share in the mixture of the skewed and Jensen-Shannon losses.'),
  }),
]);

export const hiddenWish = z.union([
  positive,
  z.strictObject({
    weight: positive.default(1),
    loss: featureLoss.default('mse'),
    layers: layerMap.optional().describe('Teacher layer by student layer, from 0; by default evenly spread.'),
  }),
]);

export const squareWish = z.union([
  positive,
  z.strictObject({
    weight: positive.default(1),
    layers: layerMap.optional().describe('Teacher layer by student layer, from 0; by default the last of both.'),
  }),
]);

const losses = z
  .strictObject({
    ...Object.fromEntries(
      lossNames.map((name) => [name, distributionWish.optional().describe(distributionLosses[name].summary)]),
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

export const distillInput = z.strictObject({
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
      replay: z
        .number()
        .min(0)
        .max(1)
        .default(0)
        .describe('Chance of such a sample to be one that was generated in an earlier step, instead of a new one.'),
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
  micro_batch: count
    .optional()
    .describe(
      'Samples run at once; by default about 1024 tokens (what is computed of them stays in the caches), images and what contrastive losses compare all at once, and no more than memory allows.',
    ),
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
  precision: z
    .enum(['float32', 'mixed'])
    .default('float32')
    .describe(
      'mixed: products in half precision, all else, the weights and their sums in single, gradients of a scaled loss; for providers that compute half precision faster.',
    ),
  validate_every: count.optional().describe('Steps between judgements (default a tenth of all).'),
  patience: count.default(5).describe('Judgements without a better one before training ends.'),
});
