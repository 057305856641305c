import type { Dataset, NumericArray } from '../../../calibration/dataset.ts';
import { WeightCosts } from '../../../curvature/removal/costs.ts';
import { emptyBranch } from '../../../curvature/removal/empty-branch.ts';
import { CompressError } from '../../../errors.ts';
import { floatsOfArray } from '../../../execution/arrays.ts';
import { observeProgram } from '../../../execution/observe.ts';
import { cloneProgram } from '../../../ir/clone.ts';
import type { Program } from '../../../ir/graph.ts';
import type { Finding } from '../../../recipe/events.ts';
import { measureDivergence } from '../../measure-model.ts';
import type { StageContext } from '../../stage.ts';
import { costMeasureOf, scopeOf } from '../measures.ts';
import { type ResidualUnit, residualUnits } from './residual-units.ts';
import type { TransformInput, TransformMethod } from './transform.ts';

/** How little a unit matters, by its name: the least goes first. */
type Judge = (
  program: Program,
  units: readonly ResidualUnit[],
  context: StageContext,
  dataset: Dataset,
) => Promise<Map<string, number>>;

const bypass = (program: Program, name: string): void => {
  const unit = residualUnits(program).find((one) => one.name === name);
  for (const { site } of unit?.writers ?? []) emptyBranch(program, site);
};

/** KL to the model as it stands, once a unit is gone. */
const byLoss: Judge = async (program, units, context, dataset) => {
  const scores = new Map<string, number>();
  for (const { name } of units) {
    const without = cloneProgram(program);
    bypass(without, name);
    scores.set(name, await measureDivergence(without, program, dataset, context));
    context.emit({
      type: 'progress',
      task: 'measuring removals',
      done: scores.size,
      total: units.length,
      unit: 'blocks',
      item: name,
    });
  }
  return scores;
};

/** 1 - mean cosine of rows (positions) of two arrays, and their number. */
const dissimilarity = (before: NumericArray, after: NumericArray): { readonly sum: number; readonly rows: number } => {
  const [a, b] = [floatsOfArray(before), floatsOfArray(after)];
  const width = before.shape.at(-1) ?? 1;
  const rows = a.length / width;
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    let [dot, one, two] = [0, 0, 0];
    for (let at = row * width; at < (row + 1) * width; at++) {
      dot += a[at]! * b[at]!;
      one += a[at]! ** 2;
      two += b[at]! ** 2;
    }
    sum += 1 - dot / Math.max(1e-30, Math.sqrt(one * two));
  }
  return { sum, rows };
};

/** Block influence 1 - E cos(x_in, x_out) (ShortGPT, Men et al. 2024, section 2.2), once for all units. */
const byInfluence: Judge = async (program, units, { engine, emit, signal, scratch }, dataset) => {
  const sums = new Map(units.map(({ name }) => [name, { sum: 0, rows: 0 }]));
  const observations = units.flatMap(({ name, input, output }) => {
    const seen = new Map<number, NumericArray>();
    const take = (array: NumericArray, run: number, isInput: boolean): void => {
      const other = seen.get(run);
      if (!other) {
        seen.set(run, array);
        return;
      }
      seen.delete(run);
      const found = isInput ? dissimilarity(array, other) : dissimilarity(other, array);
      const known = sums.get(name)!;
      sums.set(name, { sum: known.sum + found.sum, rows: known.rows + found.rows });
    };
    return [
      { value: input, observer: { observe: (array: NumericArray, run: number) => take(array, run, true) } },
      { value: output, observer: { observe: (array: NumericArray, run: number) => take(array, run, false) } },
    ];
  });
  await observeProgram({ program, dataset, engine, observations, task: 'slice: influence', scratch, emit, signal });
  return new Map([...sums].map(([name, { sum, rows }]) => [name, sum / Math.max(1, rows)]));
};

const removeBlocks =
  (judge: Judge, again: boolean) =>
  async ({ program, options, context, most }: TransformInput): Promise<Finding[]> => {
    const measure = costMeasureOf(options.measure);
    const left = (): number => new WeightCosts(program, scopeOf(options.measure)).total[measure];
    const dataset = context.calibration;
    if (!dataset) throw new CompressError({ code: 'data', message: 'removal of blocks needs calibration data' });
    const findings: Finding[] = [];
    let scores: Map<string, number> | undefined;
    while (left() > most) {
      const units = residualUnits(program);
      if (units.length < 2)
        throw new CompressError({
          code: 'mismatch',
          message: `the ratio would leave no block: ${left()} ${options.measure} are left of the last one, at most ${Math.floor(most)} may be`,
          where: { key: 'ratio' },
          hint: 'Ask for less, or remove channels (method obs).',
        });
      if (!scores || again) scores = await judge(program, units, context, dataset);
      const known = scores;
      const [least] = [...units].sort((a, b) => (known.get(a.name) ?? 0) - (known.get(b.name) ?? 0));
      bypass(program, least!.name);
      const score = known.get(least!.name)!;
      findings.push({ kind: 'fact', text: `${least!.name} removed (${score.toPrecision(3)})`, facts: { score } });
    }
    return findings;
  };

/** Whole blocks, each time the one whose removal costs least by measured divergence. */
export const blocksByLoss: TransformMethod = {
  summary: 'whole blocks, the one whose removal is measured to cost least first',
  keepsStreams: true,
  apply: removeBlocks(byLoss, true),
};

/** Whole blocks by how little they turn the stream. */
export const blocksByInfluence: TransformMethod = {
  summary: 'whole blocks, the one that turns its stream least first (ShortGPT)',
  keepsStreams: true,
  apply: removeBlocks(byInfluence, false),
};
