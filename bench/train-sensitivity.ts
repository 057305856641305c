import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { featureNames, weightFeatures } from '../src/analysis/learned-sensitivity/features.ts';
import { readSiteMatrix } from '../src/analysis/site-weights.ts';
import { findSites, type Site } from '../src/analysis/sites.ts';
import { openModel } from '../src/artifact/open.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { rankCorrelation } from '../src/curvature/rank-correlation.ts';
import { inputSignature } from '../src/execution/signature.ts';
import type { Program } from '../src/ir/graph.ts';
import { solveSymmetricPositive } from '../src/kernels/index.ts';
import { sensitivityStage } from '../src/stages/sensitivity/index.ts';
import { findSensitivity } from '../src/stages/sensitivity/sensitivity.ts';
import { benchContext } from './context.ts';
import { sensitivitySubjects } from './sensitivity-subjects.ts';

/**
 * Trains the predictor of sensitivity that looks at weights alone (src/analysis/learned-sensitivity) on what rounding
 * each weight of the shared models was measured to cost, and says how well it orders the weights of each model when it
 * was trained on the others.
 *
 *   npx tsx bench/train-sensitivity.ts --measure --model stories260k   # adds a model to the measurements
 *   npx tsx bench/train-sensitivity.ts                                 # fits, prints, writes the coefficients
 */
const { values: given } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    minilm: { type: 'string', default: '' },
    file: { type: 'string', default: join(tmpdir(), 'modelpress-sensitivities.json') },
    measure: { type: 'boolean', default: false },
    model: { type: 'string', default: '' },
    samples: { type: 'string', default: '16' },
    ridge: { type: 'string', default: '300' },
  },
});

/** What was measured of one model. */
interface Measured {
  readonly features: readonly (readonly number[])[];
  /** KL of rounding each weight alone. */
  readonly nats: readonly number[];
  /** ‖W‖² of each weight. */
  readonly magnitudes: readonly number[];
}

const file = (): Record<string, Measured> =>
  existsSync(given.file) ? (JSON.parse(readFileSync(given.file, 'utf8')) as Record<string, Measured>) : {};

/** A site of the references beside the language models, each rounded alone to 4 bits a row. */
interface ReferenceSite {
  readonly measured_kl_rtn4_per_row: number;
}

/** Adds a model to the file. */
const keep = async (name: string, program: Program, natsOf: (site: Site) => number | undefined): Promise<void> => {
  const sites = findSites(program).filter((site) => natsOf(site) !== undefined);
  const measured: Measured = {
    features: (await weightFeatures(program, sites)).map((row) => [...row]),
    nats: sites.map((site) => natsOf(site)!),
    magnitudes: sites.map(magnitudeOf),
  };
  writeFileSync(given.file, JSON.stringify({ ...file(), [name]: measured }));
  console.log(`${name}: ${sites.length} weights`);
};

const measureModels = async (): Promise<void> => {
  const samples = Number(given.samples);
  const { root, subjects } = sensitivitySubjects(given.data, given.minilm, samples);
  for (const { name, path, data, options } of subjects) {
    if (!name.startsWith(given.model) || !existsSync(path)) continue;
    const { program } = await openModel(path);
    const reference = join(path, 'eval/curvature-reference.json');
    if (existsSync(reference)) {
      const { sites } = JSON.parse(readFileSync(reference, 'utf8')) as { sites: Record<string, ReferenceSite> };
      await keep(name, program, (site) => sites[site.name]?.measured_kl_rtn4_per_row);
      continue;
    }
    const tokenizer = join(path, 'tokenizer.json');
    const dataset = await openDataset(data, {
      baseDirectory: path.endsWith('.onnx') ? root : path,
      modelInputs: inputSignature(program),
      seed: 0,
      ...(existsSync(tokenizer) ? { tokenizerPath: tokenizer } : {}),
    });
    const asked = { group_size: 'row', rounding: 'rtn', bits: [3], verify: { samples, bits: 3 }, ...options };
    const directory = mkdtempSync(join(tmpdir(), 'modelpress-bench-'));
    try {
      const { report } = await findSensitivity(
        program,
        dataset,
        sensitivityStage.options.parse(asked),
        benchContext(directory, { calibration: dataset }),
      );
      const known = new Map(report.sites.map((site) => [site.site, site.options[0]!.measured]));
      await keep(name, program, (site) => known.get(site.name));
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }
};

const magnitudeOf = (site: Site): number => readSiteMatrix(site).reduce((sum, value) => sum + value ** 2, 0);

const logsOf = ({ nats }: Measured): number[] => nats.map((value) => Math.log(Math.max(value, 1e-9)));

const deviation = (values: readonly number[]): number => {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
};

/** Logarithms of divergences, standardised over a model: sites of one model are compared. */
const targetsOf = (model: Measured): number[] => {
  const logs = logsOf(model);
  const mean = logs.reduce((sum, value) => sum + value, 0) / logs.length;
  const spread = deviation(logs) || 1;
  return logs.map((value) => (value - mean) / spread);
};

/**
 * Ridge regression; every model counts alike. With few models the direction wants a heavy ridge, which makes its scores
 * too small: their length is fitted afterwards.
 */
const regress = async (models: readonly Measured[]): Promise<number[]> => {
  const n = featureNames.length;
  const gram = new Float64Array(n * n);
  const right = new Float64Array(n);
  for (const model of models) {
    const targets = targetsOf(model);
    model.features.forEach((row, at) => {
      for (let i = 0; i < n; i++) {
        right[i]! += (row[i]! * targets[at]!) / targets.length;
        for (let j = 0; j < n; j++) gram[i * n + j]! += (row[i]! * row[j]!) / targets.length;
      }
    });
  }
  const ridged = gram.slice();
  for (let i = 0; i < n; i++) ridged[i * n + i]! += Number(given.ridge) * 0.1;
  const direction = [...(await solveSymmetricPositive(ridged, n, right, 1))];
  const through = direction.map((_, i) => direction.reduce((sum, value, j) => sum + value * gram[i * n + j]!, 0));
  const sum = (values: ArrayLike<number>): number =>
    direction.reduce((total, value, i) => total + value * values[i]!, 0);
  return direction.map((value) => (value * sum(right)) / sum(through));
};

const scoresOf = (coefficients: readonly number[], { features }: Measured): number[] =>
  features.map((row) => row.reduce((sum, value, at) => sum + value * coefficients[at]!, 0));

if (given.measure) await measureModels();
else {
  const models = Object.entries(file()).sort(([a], [b]) => (a < b ? -1 : 1));
  console.log('rank correlation with the measured divergence, each model left out of the training');
  console.log(`${'model'.padEnd(16)}${['weights', 'learned', 'magnitude'].map((t) => t.padStart(14)).join('')}`);
  for (const [name, model] of models) {
    const others = models.filter(([other]) => other !== name).map(([, one]) => one);
    const learned = rankCorrelation(scoresOf(await regress(others), model), [...model.nats]);
    const magnitude = rankCorrelation([...model.magnitudes], [...model.nats]);
    const cells = [learned, magnitude].map((value) => value.toFixed(3).padStart(14)).join('');
    console.log(`${name.padEnd(16)}${String(model.nats.length).padStart(14)}${cells}`);
  }
  const coefficients = await regress(models.map(([, model]) => model));
  const spread = models.reduce((sum, [, model]) => sum + deviation(logsOf(model)), 0) / models.length;
  const names = featureNames.map((name) => (/^\w+$/.test(name) ? name : `'${name}'`));
  const lines = names.map((name, at) => `  ${name}: ${+coefficients[at]!.toFixed(4)},`);
  const path = new URL('../src/analysis/learned-sensitivity/coefficients.ts', import.meta.url);
  const source = readFileSync(path, 'utf8');
  const table = source.replace(/= \{\n[^}]*\}/, `= {\n${lines.join('\n')}\n}`);
  writeFileSync(path, table.replace(/spread = [^;]*;/, `spread = ${+spread.toFixed(4)};`));
}
