import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openModel } from '../src/artifact/open.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { inputSignature } from '../src/execution/signature.ts';
import { sensitivityStage } from '../src/stages/sensitivity/index.ts';
import { findSensitivity } from '../src/stages/sensitivity/sensitivity.ts';
import { benchContext } from './context.ts';
import { sensitivitySubjects } from './sensitivity-subjects.ts';

/**
 * How well predictors order weights by the divergence that rounding each alone was measured to cause, over the shared
 * models: rank correlations, and the sums of predicted and measured losses.
 *
 *   npx tsx bench/sensitivity.ts [--data ../shared/data] [--minilm FOLDER] [--model stories260k] [--bits 4]
 *                                [--samples 64] [--verify 16] [--predictors hessian-trace,block-influence]
 *                                [--options '{"group_size":32}'] [--sites]
 */
const { values: given } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    minilm: { type: 'string', default: '' },
    model: { type: 'string', default: '' },
    bits: { type: 'string', default: '4' },
    samples: { type: 'string', default: '64' },
    verify: { type: 'string', default: '16' },
    predictors: { type: 'string', default: '' },
    options: { type: 'string', default: '{}' },
    sites: { type: 'boolean', default: false },
  },
});

const { root, subjects } = sensitivitySubjects(given.data, given.minilm, Number(given.samples));

for (const { name, path, data, options } of subjects) {
  if (!name.startsWith(given.model) || !existsSync(path)) continue;
  const { program } = await openModel(path);
  const tokenizer = join(path, 'tokenizer.json');
  const dataset = await openDataset(data, {
    baseDirectory: path.endsWith('.onnx') ? root : path,
    modelInputs: inputSignature(program),
    seed: 0,
    ...(existsSync(tokenizer) ? { tokenizerPath: tokenizer } : {}),
  });
  const bits = Number(given.bits);
  const asked = {
    group_size: 'row',
    rounding: 'rtn',
    bits: [bits],
    verify: { samples: Number(given.verify), bits },
    ...options,
    ...JSON.parse(given.options),
  };
  const parsed = sensitivityStage.options.parse(asked);
  const extra = given.predictors === '' ? [] : given.predictors.split(',');
  const predictors = [...parsed.predictors, ...extra] as typeof parsed.predictors;
  const directory = mkdtempSync(join(tmpdir(), 'modelpress-bench-'));
  const start = performance.now();
  try {
    const { report } = await findSensitivity(
      program,
      dataset,
      { ...parsed, predictors },
      benchContext(directory, { calibration: dataset }),
    );
    const seconds = ((performance.now() - start) / 1000).toFixed(0);
    console.log(`${name}, ${bits} bits: ${report.sites.length} weights, ${seconds} s`);
    for (const { predictor, correlation, sites } of report.correlations)
      console.log(`  ${predictor.padEnd(26)}${correlation.toFixed(3).padStart(8)}  over ${sites}`);
    if (report.sums)
      console.log(
        `  sums: predicted ${report.sums.predicted.toPrecision(3)}, measured ${report.sums.measured.toPrecision(3)}`,
      );
    for (const { text, kind, site } of report.findings)
      if (kind !== 'fact') console.log(`  ${kind} ${site ?? ''}: ${text}`);
    if (given.sites)
      for (const {
        site,
        options: [first],
      } of report.sites)
        console.log(
          `  ${site.padEnd(48)}${first?.loss.toExponential(2).padStart(12)}${first?.measured?.toExponential(2).padStart(12) ?? ''}`,
        );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
