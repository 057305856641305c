import type { Node } from '../../../ir/graph.ts';
import type { AxisRule, AxisRules } from '../axes.ts';
import { attentionRules, microsoftAttentionRules } from './attention.ts';
import { controlFlowRules } from './control-flow.ts';
import { elementwiseRules, microsoftElementwiseRules } from './elementwise.ts';
import { joinRules } from './joins.ts';
import { microsoftNormalizationRules, normalizationRules } from './normalization.ts';
import { poolingRules, productRules } from './products.ts';
import { recurrentRules } from './recurrent.ts';
import { shapeRules } from './shapes.ts';

/** Nothing to relate: constants, and numbers that are computed from lengths. */
const independent: AxisRule = () => undefined;

const standard: AxisRules = {
  ...elementwiseRules,
  ...productRules,
  ...poolingRules,
  ...shapeRules,
  ...joinRules,
  ...normalizationRules,
  ...recurrentRules,
  ...controlFlowRules,
  ...attentionRules,
  Constant: independent,
  Shape: independent,
  Size: independent,
};

const microsoft: AxisRules = {
  ...microsoftElementwiseRules,
  ...microsoftNormalizationRules,
  ...microsoftAttentionRules,
};

const domains: Readonly<Record<string, AxisRules>> = { '': standard, 'ai.onnx': standard, 'com.microsoft': microsoft };

/** Operators without a rule keep everything that they touch. */
const keepAll: AxisRule = (node, table) => {
  for (const value of [...node.inputs, ...node.outputs])
    table.blockAll(value, `no rule follows channels through ${node.op}`);
};

/** The rule of a node. */
export const axisRuleOf = (node: Node): AxisRule => {
  const rules = domains[node.domain];
  return rules && Object.hasOwn(rules, node.op) ? rules[node.op]! : keepAll;
};
