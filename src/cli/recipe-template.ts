import { stringify } from 'yaml';
import { inputSignature } from '../execution/signature.ts';
import type { Model } from '../ir/model.ts';
import { readDatasetText } from '../recipe/datasets.ts';

export interface TemplateChoices {
  /** Path of the model as the recipe writes it. */
  readonly model: string;
  readonly output: string;
  /** Datasets as one text, with paths that start where the command was run. */
  readonly calibration: string | undefined;
  readonly evaluation: string | undefined;
  readonly fromRecipe: (path: string) => string;
}

type ModelKind = 'language' | 'vision' | 'other';

const kindOf = (model: Model): ModelKind => {
  const inputs = inputSignature(model.program);
  if (inputs.some((input) => input.name === 'input_ids')) return 'language';
  return inputs.some((input) => input.shape?.length === 4) ? 'vision' : 'other';
};

/** What is usually asked of a model of each kind. */
const starts: Readonly<Record<ModelKind, { stage: unknown; write: readonly string[]; why: string }>> = {
  language: {
    stage: { quantize: { method: 'auto', weights: { bits: 4, group_size: 32 }, ignore: ['role:head'] } },
    write: ['onnx-matmulnbits'],
    why: '4-bit weights in groups of 32, which every runtime reads; the output head stays as it is.',
  },
  vision: {
    stage: { quantize: { activations: 'static' } },
    write: ['onnx'],
    why: '8-bit weights and activations; their ranges come from the calibration data.',
  },
  other: {
    stage: { quantize: { weights: { bits: 8 } } },
    write: ['onnx'],
    why: '8-bit weights: nearly no loss on any model.',
  },
};

const datasetOf = (text: string | undefined, fromRecipe: TemplateChoices['fromRecipe']): unknown =>
  text === undefined ? { random: null, samples: 16 } : readDatasetText(text, fromRecipe);

/** A commented recipe for a model. */
export const recipeText = (model: Model, choices: TemplateChoices): string => {
  const { stage, write, why } = starts[kindOf(model)];
  const part = (value: unknown): string => stringify(value, { lineWidth: 100, flowCollectionPadding: true }).trimEnd();
  return `# What \`compress run\` does to this model. \`compress plan\` says what would happen; \`compress schema\` lists every key.
${part({ model: choices.model, output: choices.output, seed: 0 })}
# calibration: samples that methods look at. evaluation: samples that metrics are measured on, before and after.
${part({ data: { calibration: datasetOf(choices.calibration, choices.fromRecipe), evaluation: datasetOf(choices.evaluation, choices.fromRecipe) } })}
# ${why}
${part({ stages: [stage] })}
${part({ write })}
# The run fails (exit code 3) when a bound is broken, such as perplexity: { increase: 2% } or accuracy: { drop: 1% }.
${part({ gates: [{ size: { ratio: 0.6 } }] })}
`;
};
