import { readSiteMatrix, siteTensor } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import type { Curvature } from '../../../curvature/moments.ts';
import { inputMoment } from '../../../curvature/moments.ts';
import { curvatureOf } from '../../../curvature/store.ts';
import { CompressError, formatError } from '../../../errors.ts';
import { cloneProgram } from '../../../ir/clone.ts';
import { CodebookTensor } from '../../../ir/codebook-tensor.ts';
import { setConstant } from '../../../ir/edit/replace.ts';
import type { Program } from '../../../ir/graph.ts';
import type { Model } from '../../../ir/model.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { StageContext, StageResult } from '../../stage.ts';
import { nf4Table, roundToNf4 } from './nf4.ts';
import type { CodebookOptions } from './options.ts';
import { nf4BlockSize, planCodebooks } from './plan.ts';
import { type CodebookRounding, roundToRowTables } from './round-rows.ts';

type Common = Pick<CodebookTensor['facts'], 'dtype' | 'shape' | 'layout' | 'rows' | 'columns'>;

const commonOf = (site: Site): Common => {
  const { rows, columns, layout } = site;
  const { dtype, shape } = siteTensor(site);
  return { dtype: dtype as Common['dtype'], shape, layout, rows, columns };
};

/** The weight rounded to NormalFloat in blocks. */
export const normalFloatOf = (site: Site): CodebookTensor => {
  const rounded = roundToNf4(readSiteMatrix(site), nf4BlockSize);
  const facts = {
    ...commonOf(site),
    table: nf4Table,
    entries: nf4Table.length,
    name: 'nf4',
    blockSize: nf4BlockSize,
  } as const;
  return new CodebookTensor({ ...facts, ...rounded });
};

/** A and B of the sites, where there are data and the model can be differentiated. */
const momentsFor = async (
  program: Program,
  sites: readonly Site[],
  context: StageContext,
  findings: Finding[],
): Promise<Curvature | undefined> => {
  const { calibration: dataset } = context;
  if (!dataset) {
    findings.push({ kind: 'fact', text: 'without calibration data every input counts the same in the tables' });
    return undefined;
  }
  const names = new Set(sites.map(({ name }) => name));
  try {
    return await curvatureOf({ program, dataset, context, wanted: ({ name }) => names.has(name) });
  } catch (error) {
    if (!(error instanceof CompressError) || !['unsupported', 'data'].includes(error.code)) throw error;
    const text = `every input counts the same in the tables, since the curvature cannot be had: ${formatError(error)}`;
    findings.push({ kind: 'fallback', text });
    return undefined;
  }
};

/** Tables of every row of a site; convolution groups see inputs of their own. */
const tablesOf = async (
  site: Site,
  known: Curvature | undefined,
  { bits }: CodebookOptions,
  { signal }: StageContext,
): Promise<CodebookRounding> => {
  const { name, rows, columns, groups } = site;
  const weight = readSiteMatrix(site);
  const curvature = known?.sites.get(name);
  const entries = 2 ** bits;
  const tables = new Float32Array(rows * entries);
  const codes = new Uint8Array(rows * columns);
  const groupRows = rows / groups;
  let relativeError = 0;
  for (let group = 0; group < groups; group++) {
    const at = group * groupRows;
    const rounded = await roundToRowTables({
      ...{ rows: groupRows, columns, bits, signal },
      weight: weight.subarray(at * columns, (at + groupRows) * columns),
      inputMoment: curvature && curvature.positions > 0 ? inputMoment(curvature, group) : undefined,
    });
    tables.set(rounded.tables, at * entries);
    codes.set(rounded.codes, at * columns);
    relativeError += rounded.relativeError / groups;
  }
  return { tables, codes, relativeError };
};

/**
 * Replaces the weights that the options name by codes that number the entries of tables, in a copy of the model.
 * @throws CompressError 'numeric' for inputs whose moments cannot be factored, 'interrupted'.
 */
export const quantizeToCodebooks = async (
  model: Model,
  options: CodebookOptions,
  context: StageContext,
): Promise<StageResult> => {
  const program = cloneProgram(model.program);
  const { units, findings: selected } = planCodebooks(program, options);
  const findings: Finding[] = [...selected];
  const { codebook, bits } = options;
  const sites = units.map(({ site }) => site);
  const curvature = codebook === 'kmeans' ? await momentsFor(model.program, sites, context, findings) : undefined;
  for (const [index, { site, weight }] of units.entries()) {
    const { name } = site;
    const common = { stage: 'quantize', site: name } as const;
    if (codebook === 'nf4') {
      setConstant(weight, normalFloatOf(site));
      context.emit({ type: 'site-finished', ...common, facts: { scheme: 'nf4' } });
    } else {
      const { tables, codes, relativeError } = await tablesOf(site, curvature, options, context);
      const facts = { ...commonOf(site), table: tables, entries: 2 ** bits, name: undefined, codes };
      setConstant(weight, new CodebookTensor({ ...facts, blockSize: 0, scales: new Float32Array() }));
      const error = curvature?.sites.has(name) ? { output_error: relativeError } : { weight_error: relativeError };
      context.emit({ type: 'site-finished', ...common, facts: { scheme: `kmeans ${bits} bits row`, ...error } });
    }
    const counted = { done: index + 1, total: units.length, unit: 'weights', item: name };
    context.emit({ type: 'progress', task: 'rounding to tables', ...counted });
  }
  return { model: { ...model, program }, findings };
};
