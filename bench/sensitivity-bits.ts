import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openModel } from '../src/artifact/open.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { onnxruntimeEngine } from '../src/execution/onnxruntime.ts';
import { inputSignature } from '../src/execution/signature.ts';
import type { Model } from '../src/ir/model.ts';
import { memoryStore } from '../src/stages/memory-store.ts';
import { quantizeStage } from '../src/stages/quantize/index.ts';
import { sensitivityStage } from '../src/stages/sensitivity/index.ts';
import type { StageContext } from '../src/stages/stage.ts';
import { measure } from './measured.ts';

/**
 * Bits chosen for every weight against the same bits everywhere, at equal means: perplexity and divergence of the shared
 * language models under the protocol of bars.ts (products of the blocks, 64 windows, groups of 32).
 *
 *   npx tsx bench/sensitivity-bits.ts [--data ../shared/data] [--model stories260k] [--method curvature]
 *                                     [--budgets 2.5,3,4] [--uniform 2,3,4] [--sensitivity '{"rounding":"rtn"}'] [--seed 0]
 */
const { values: given } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    model: { type: 'string', default: 'stories260k' },
    method: { type: 'string', default: 'curvature' },
    budgets: { type: 'string', default: '2.5,3,4' },
    uniform: { type: 'string', default: '2,3,4' },
    sensitivity: { type: 'string', default: '{}' },
    samples: { type: 'string', default: '64' },
    seed: { type: 'string', default: '0' },
  },
});

const subjects = {
  stories260k: { folder: 'llm-stories260k', window: 512 },
  babyllama: { folder: 'llm-babyllama-tok105', window: 256 },
} as const;

const { folder, window } = subjects[given.model as keyof typeof subjects];
const directory = resolve(given.data, folder);
const seed = Number(given.seed);
const model = await openModel(directory);
const place = { baseDirectory: directory, modelInputs: inputSignature(model.program), seed };
const tokens = (name: string): string => join(directory, 'eval', name);
const calibration = await openDataset(
  { tokens: tokens('tinystories-train-sample.u16'), bos: 1, window, samples: Number(given.samples), shuffle: true },
  place,
);
const scored = await openDataset(
  { tokens: tokens('tinystories-valid-19stories.u16'), bos: 1, split: 1, window },
  place,
);
const ignore = ['op:Gather', 'role:head'];
const scratch = mkdtempSync(join(tmpdir(), 'modelpress-bench-'));
const context = (): StageContext => ({
  calibration,
  engine: onnxruntimeEngine,
  maxMemoryBytes: 1 << 30,
  threads: 2,
  seed,
  checkpoints: memoryStore(),
  shared,
  scratch: { directory: scratch },
  emit: () => undefined,
  signal: new AbortController().signal,
});
const shared = memoryStore();

const report = async (setting: string, from: Model, bits: number | 'auto', note: string): Promise<void> => {
  const options = quantizeStage.options.parse({ method: given.method, ignore, weights: { bits, group_size: 32 } });
  const { model: rounded } = await quantizeStage.run(from, options, context());
  const { perplexity, kl } = await measure(rounded.program, model.program, scored, ['perplexity', 'kl']);
  console.log(
    `${given.model} ${setting.padEnd(14)}${perplexity!.toFixed(3).padStart(9)}${kl!.toFixed(5).padStart(10)}  ${note}`,
  );
};

const numbers = (text: string): number[] => (text === '' ? [] : text.split(',').map(Number));

try {
  for (const budget of numbers(given.budgets)) {
    const asked = { ignore, budget: { average_bits: budget }, ...JSON.parse(given.sensitivity) };
    const options = sensitivityStage.options.parse(asked);
    const { model: allocated, findings } = await sensitivityStage.run(model, options, context());
    const texts = findings.flatMap(({ text, facts }) => (facts?.recipe === undefined ? [text] : []));
    await report(`${budget} chosen`, allocated, 'auto', texts.join('; '));
  }
  for (const bits of numbers(given.uniform)) await report(`${bits} everywhere`, model, bits, '');
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
