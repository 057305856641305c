import type { Program } from '../graph.ts';
import { type Inference, type InferenceOptions, type InferenceReport, inferFacts } from './infer.ts';
import { mergeTypes } from './merge.ts';

/**
 * Sets the type of every value of a program, in the bodies of control flow too, as far as it can be known: element
 * types, and shapes with symbolic dimensions. Outputs of the model keep the names that the file gives their dimensions.
 * Operators without a rule, inputs that do not go together and stated types that are wrong are reported, never hidden.
 * @throws 'mismatch' and 'usage' for `inputShapes` that do not fit the model.
 */
export const inferShapes = (program: Program, options: InferenceOptions = {}): InferenceReport => {
  const inference = inferFacts(program, options);
  applyFacts(program, inference);
  return inference.report;
};

const applyFacts = (program: Program, { facts }: Inference): void => {
  const outputs = new Set(program.graph.outputs);
  for (const [value, { type }] of facts) {
    if (!type) continue;
    value.type = outputs.has(value) && value.producer ? mergeTypes(value.type, type, 'stated') : type;
  }
};
