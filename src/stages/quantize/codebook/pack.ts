import { readSiteMatrix, siteTensor } from '../../../analysis/site-weights.ts';
import { findSites } from '../../../analysis/sites.ts';
import { cloneProgram } from '../../../ir/clone.ts';
import { CodebookTensor } from '../../../ir/codebook-tensor.ts';
import { setConstant } from '../../../ir/edit/replace.ts';
import type { Model } from '../../../ir/model.ts';
import { nf4Table, roundToNf4 } from './nf4.ts';

/** Elements that share a scale: what bitsandbytes and onnxruntime use. */
const blockSize = 64;

/** A copy of a model whose matrices of products are rounded to NormalFloat; tables that are looked up stay. */
export const packNf4 = (model: Model): Model => {
  const program = cloneProgram(model.program);
  const sites = findSites(program);
  const lookedUp = new Set(sites.filter(({ op }) => op === 'Gather').map(({ weight }) => weight));
  for (const site of sites) {
    const { op, weight, rows, columns, layout } = site;
    if (op !== 'MatMul' || lookedUp.has(weight) || siteTensor(site) instanceof CodebookTensor) continue;
    const { shape, dtype } = siteTensor(site);
    if (dtype !== 'float32' && dtype !== 'float16') continue;
    const facts = { dtype, shape, layout, rows, columns, table: nf4Table, name: 'nf4', blockSize } as const;
    setConstant(weight, new CodebookTensor({ ...facts, ...roundToNf4(readSiteMatrix(site), blockSize) }));
  }
  return { ...model, program };
};
