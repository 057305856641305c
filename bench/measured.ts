import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeProgram } from '../src/artifact/formats/onnx/write.ts';
import type { Dataset } from '../src/calibration/dataset.ts';
import { onnxruntimeEngine } from '../src/execution/onnxruntime.ts';
import type { Program } from '../src/ir/graph.ts';
import type { Model } from '../src/ir/model.ts';
import { evaluate } from '../src/metrics/evaluate.ts';
import type { Finding } from '../src/recipe/events.ts';
import { quantizeStage } from '../src/stages/quantize/index.ts';
import { benchContext } from './context.ts';

/** One row of a table: a model under a setting, measured on what would be written. */
export interface MeasuredRow {
  readonly setting: string;
  readonly values: Readonly<Record<string, number>>;
  readonly bytes: number;
  readonly seconds: number;
  readonly findings: readonly Finding[];
}

export interface Measurement {
  readonly program: Program;
  readonly calibration: Dataset | undefined;
  readonly evaluation: Dataset;
  readonly metrics: readonly string[];
}

/** A bare program as a model. */
const modelOf = (program: Program): Model => ({
  program,
  family: undefined,
  config: undefined,
  companions: [],
  origin: program.graph.name,
});

/** Runs the quantize stage with a recipe's options. */
export const runStage = async (
  program: Program,
  options: unknown,
  calibration: Dataset | undefined,
): Promise<{ readonly program: Program; readonly findings: readonly Finding[] }> => {
  const directory = mkdtempSync(join(tmpdir(), 'modelpress-bench-'));
  try {
    const { model, findings } = await quantizeStage.run(
      modelOf(program),
      quantizeStage.options.parse(options),
      benchContext(directory, { calibration, checkpoints: { get: () => undefined, put: () => undefined } }),
    );
    return { program: model.program, findings };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
};

/** Values of metrics by name, of a program against the one it came from. */
export const measure = async (
  program: Program,
  reference: Program,
  dataset: Dataset,
  metrics: readonly string[],
): Promise<Readonly<Record<string, number>>> => {
  const results = await evaluate({
    program,
    reference,
    dataset,
    metrics,
    engine: onnxruntimeEngine,
    emit: () => undefined,
  });
  return Object.fromEntries(results.map(({ metric, value }) => [metric, value]));
};

/** Quantizes by a recipe's options (or not at all) and measures the result against the program it came from. */
export const measureSetting = async (
  measurement: Measurement,
  setting: string,
  options: unknown,
): Promise<MeasuredRow> => {
  const start = performance.now();
  const { program, findings } =
    options === undefined
      ? { program: measurement.program, findings: [] }
      : await runStage(measurement.program, options, measurement.calibration);
  const seconds = (performance.now() - start) / 1000;
  const values = await measure(program, measurement.program, measurement.evaluation, measurement.metrics);
  return { setting, values, bytes: encodeProgram(program).byteLength, seconds, findings };
};

/** A table in fixed columns; shares are printed in percent. */
export const printRow = (row: MeasuredRow, metrics: readonly string[]): void => {
  const cells = metrics.map((metric) => {
    const value = row.values[metric];
    const share = ['accuracy', 'top5', 'agreement'].includes(metric);
    return (
      value === undefined ? '' : share ? `${(value * 100).toFixed(2)} %` : value.toFixed(value < 1 ? 4 : 2)
    ).padStart(12);
  });
  const kept = row.findings.filter((finding) => finding.kind !== 'fact').length;
  console.log(
    `${row.setting.padEnd(34)}${cells.join('')}${String(row.bytes).padStart(12)}${row.seconds.toFixed(1).padStart(8)}  ${kept > 0 ? `${kept} findings` : ''}`,
  );
};

export const printHead = (title: string, metrics: readonly string[]): void => {
  console.log(`\n${title}`);
  console.log(
    `${'setting'.padEnd(34)}${metrics.map((metric) => metric.padStart(12)).join('')}${'bytes'.padStart(12)}${'s'.padStart(8)}`,
  );
};
