import { attentionRules } from './attention.ts';
import type { Rule, RuleTable } from './call.ts';
import { controlFlowRules } from './control-flow.ts';
import { convolutionRules } from './convolution.ts';
import { elementwiseRules } from './elementwise.ts';
import { generatorRules } from './generators.ts';
import { legacyRules } from './legacy.ts';
import { logicalRules } from './logical.ts';
import { matmulRules } from './matmul.ts';
import { microsoftRules, microsoftRulesInStandardDomain } from './microsoft.ts';
import { movementRules } from './movement.ts';
import { normalizationRules } from './normalization.ts';
import { poolingRules } from './pooling.ts';
import { quantizationRules } from './quantization.ts';
import { recurrentRules } from './recurrent.ts';
import { reduceRules } from './reduce.ts';
import { reshapeRules } from './reshape.ts';
import { sequenceRules } from './sequences.ts';

/** Every operator that inference knows, by domain ('' and 'ai.onnx' are the standard one). */
const standard: RuleTable = {
  ...elementwiseRules,
  ...logicalRules,
  ...matmulRules,
  ...convolutionRules,
  ...poolingRules,
  ...normalizationRules,
  ...reduceRules,
  ...reshapeRules,
  ...movementRules,
  ...generatorRules,
  ...recurrentRules,
  ...quantizationRules,
  ...sequenceRules,
  ...controlFlowRules,
  ...attentionRules,
  ...legacyRules,
  ...microsoftRulesInStandardDomain,
};

const domains: Readonly<Record<string, RuleTable>> = {
  '': standard,
  'ai.onnx': standard,
  'com.microsoft': microsoftRules,
};

/** The rule of an operator, or undefined when inference does not know it. */
export const ruleFor = (domain: string, op: string): Rule | undefined => {
  const table = domains[domain];
  return table && Object.hasOwn(table, op) ? table[op] : undefined;
};
