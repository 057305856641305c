import { CompressError } from '../../errors.ts';
import { freshWeights } from '../../families/fresh.ts';
import { buildProgram } from '../../families/index.ts';
import type { Program } from '../../ir/graph.ts';
import type { Model } from '../../ir/model.ts';

export interface FreshStudentOptions {
  /** Keys of config.json that differ from the present model's. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly seed: number;
}

const layerNumber = /(^|\.)(layers|layer|h|blocks)\.(\d+)(?=\.)/;

/** Names of a checkpoint with as many layers as the student has. */
const tensorNames = ({ graph }: Program, layers: number): string[] => {
  const names = new Set<string>();
  for (const { name } of graph.initializers) {
    // A gain that is stored less one is a constant of another name.
    const stored = name.replace(/\.gain$/, '.weight');
    const found = layerNumber.exec(stored);
    if (!found) names.add(stored);
    else
      for (let layer = 0; layer < layers; layer++)
        names.add(stored.replace(layerNumber, (_, before: string, word: string) => `${before}${word}.${layer}`));
  }
  return [...names];
};

const layerKeys = ['num_hidden_layers', 'n_layer', 'num_layers', 'n_layers'] as const;

const layersOf = (config: Readonly<Record<string, unknown>>): number => {
  const found = layerKeys.map((key) => config[key]).find((value) => typeof value === 'number');
  return typeof found === 'number' ? found : 0;
};

/** Standard deviation of matrices where the configuration names none. */
const usualDeviation = 0.02;

/** The graph options that a program was built with. */
const buildOptionsOf = ({ graph, opsets }: Program) => ({
  layout: graph.inputs.some(({ name }) => name.startsWith('past_key_values'))
    ? ('generation' as const)
    : ('scoring' as const),
  opset: opsets.get('') ?? 21,
  fused: graph.nodes.some(({ domain }) => domain === 'com.microsoft'),
});

/**
 * A model of the same family with another configuration and weights before training.
 * @throws 'unsupported' for graphs without a family, 'malformed' and others for configurations that the family refuses.
 */
export const freshStudent = (model: Model, { config: changes, seed }: FreshStudentOptions): Model => {
  if (!model.config || model.family === undefined)
    throw new CompressError({
      code: 'unsupported',
      message: 'a student with another configuration needs a model with a family and a config.json',
      where: { key: 'student' },
      hint: 'Start from a checkpoint folder, or give the student as a model of its own.',
    });
  const config = { ...model.config, ...changes };
  const deviation = typeof config.initializer_range === 'number' ? config.initializer_range : usualDeviation;
  const names = tensorNames(model.program, layersOf(config));
  const program = buildProgram(config, freshWeights({ names, seed, deviation }), buildOptionsOf(model.program));
  for (const [key, value] of model.program.metadata) program.metadata.set(key, value);
  return { ...model, program, config };
};
