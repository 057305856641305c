import { stringify } from 'yaml';
import { inputSignature } from '../../execution/signature.ts';
import type { Model } from '../../ir/model.ts';
import { readDatasetText } from '../../recipe/datasets.ts';

export interface TemplateChoices {
  readonly aim: Aim;
  /** Path of the model as the recipe writes it. */
  readonly model: string;
  readonly output: string;
  /** Path of the schema as the recipe writes it; undefined where there is none. */
  readonly schema: string | undefined;
  /** Datasets as one text, with paths that start where the command was run. */
  readonly calibration: string | undefined;
  readonly evaluation: string | undefined;
  readonly fromRecipe: (path: string) => string;
}

export type ModelKind = 'language' | 'vision' | 'other';

export const kindOf = (model: Model): ModelKind => {
  const inputs = inputSignature(model.program);
  if (inputs.some((input) => input.name === 'input_ids')) return 'language';
  return inputs.some((input) => input.shape?.length === 4) ? 'vision' : 'other';
};

/** What somebody may want of a smaller model, and the recipe that gets there. */
export interface Aim {
  readonly name: string;
  /** For a question: what one gets. */
  readonly label: string;
  readonly kinds: readonly ModelKind[];
  readonly stages: readonly unknown[];
  readonly write: readonly string[];
  readonly gates: readonly unknown[];
  /** Comment above the stages. */
  readonly why: string;
}

/** Every aim; the first that suits a kind of model is its default. */
export const aims: readonly Aim[] = [
  {
    name: 'w4',
    label: '4-bit weights for onnxruntime (a seventh of the size)',
    kinds: ['language'],
    stages: [{ quantize: { method: 'auto', weights: { bits: 4, group_size: 32 }, ignore: ['role:head'] } }],
    write: ['onnx-matmulnbits'],
    gates: [{ size: { ratio: 0.6 } }],
    why: '4-bit weights in groups of 32, which every runtime reads; the output head stays as it is.',
  },
  {
    name: 'web',
    label: 'a folder for transformers.js in the browser, 4-bit weights',
    kinds: ['language'],
    stages: [{ quantize: { method: 'auto', weights: { bits: 4, group_size: 32 }, ignore: ['role:head'] } }],
    write: ['transformersjs'],
    gates: [{ size: { ratio: 0.6 } }],
    why: 'Groups of 32 are the block size that fused kernels of WebGPU take. `compress check OUT --target web` tries the result.',
  },
  {
    name: 'int8',
    label: '8-bit weights and activations (smaller and faster)',
    kinds: ['vision'],
    stages: [{ quantize: { activations: 'static' } }],
    write: ['onnx'],
    gates: [{ size: { ratio: 0.6 } }],
    why: '8-bit weights and activations; their ranges come from the calibration data.',
  },
  {
    name: 'w8',
    label: '8-bit weights (a quarter of the size, nearly no loss)',
    kinds: ['other', 'language', 'vision'],
    stages: [{ quantize: { weights: { bits: 8 } } }],
    write: ['onnx'],
    gates: [{ size: { ratio: 0.6 } }],
    why: '8-bit weights: nearly no loss on any model.',
  },
  {
    name: 'half',
    label: 'float16 (half the size, no data needed)',
    kinds: ['other', 'vision', 'language'],
    stages: [{ quantize: { precision: 'float16' } }],
    write: ['onnx'],
    gates: [{ size: { ratio: 0.75 } }],
    why: 'Weights and arithmetic in float16; sensitive operators stay in float32.',
  },
];

/** Aims that suit a kind of model, the default first. */
export const aimsFor = (kind: ModelKind): Aim[] => aims.filter((aim) => aim.kinds.includes(kind));

const datasetOf = (text: string | undefined, fromRecipe: TemplateChoices['fromRecipe']): unknown =>
  text === undefined ? { random: null, samples: 16 } : readDatasetText(text, fromRecipe);

/** A commented recipe for a model. */
export const recipeText = (choices: TemplateChoices): string => {
  const { aim, fromRecipe } = choices;
  const part = (value: unknown): string => stringify(value, { lineWidth: 100, flowCollectionPadding: true }).trimEnd();
  const data = {
    calibration: datasetOf(choices.calibration, fromRecipe),
    evaluation: datasetOf(choices.evaluation, fromRecipe),
  };
  const modeline = choices.schema === undefined ? '' : `# yaml-language-server: $schema=${choices.schema}\n`;
  return `${modeline}# What \`compress run\` does to this model. \`compress plan\` says what would happen; \`compress schema\` lists every key.
${part({ model: choices.model, output: choices.output, seed: 0 })}
# calibration: samples that methods look at. evaluation: samples that metrics are measured on, before and after.
${part({ data })}
# ${aim.why}
${part({ stages: aim.stages })}
${part({ write: aim.write })}
# The run fails (exit code 3) when a bound is broken, such as perplexity: { increase: 2% } or accuracy: { drop: 1% }.
${part({ gates: aim.gates })}
`;
};
