import { cloneProgram } from '../../../ir/clone.ts';
import { setConstant } from '../../../ir/edit/replace.ts';
import type { Model } from '../../../ir/model.ts';
import { planCodebooks } from './plan.ts';
import { normalFloatOf } from './run.ts';

/** A copy of a model whose matrices of products are rounded to NormalFloat; tables that are looked up stay. */
export const packNf4 = (model: Model): Model => {
  const program = cloneProgram(model.program);
  const { units } = planCodebooks(program, { codebook: 'nf4', bits: 4, targets: ['*'], ignore: [] });
  for (const { site, weight } of units) setConstant(weight, normalFloatOf(site));
  return { ...model, program };
};
