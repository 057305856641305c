import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { openModel } from '../src/artifact/open.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { inputSignature } from '../src/execution/signature.ts';
import { memoryStore } from '../src/stages/memory-store.ts';
import { shareStage } from '../src/stages/share/index.ts';
import { benchContext } from './context.ts';

/**
 * Bytes of keys and values a position and what decoding loses, with subspaces of neighbouring layers and of each by itself.
 *
 *   npx tsx bench/cache.ts --model babyllama --ratio 0.25,0.5 [--group 4,1] [--samples 24]
 */

const { values: given } = parseArgs({
  options: {
    data: { type: 'string', default: '../shared/data' },
    model: { type: 'string', default: 'babyllama' },
    ratio: { type: 'string', default: '0.5' },
    group: { type: 'string', default: '4,1' },
    samples: { type: 'string', default: '24' },
  },
});

const folders: Readonly<Record<string, string>> = {
  stories260k: 'llm-stories260k',
  babyllama: 'llm-babyllama-tok105',
};
const folder = folders[given.model];
if (folder === undefined) throw new Error(`no model ${given.model}: ${Object.keys(folders).join(', ')}`);
const path = join(resolve(given.data), folder);
const model = await openModel(path, { layout: 'generation' });
const context = { baseDirectory: path, modelInputs: inputSignature(model.program), seed: 0 };
const calibration = await openDataset(
  {
    tokens: join(path, 'eval/tinystories-train-sample.u16'),
    bos: 1,
    window: 256,
    samples: Number(given.samples),
    shuffle: true,
  },
  context,
);
const shared = memoryStore();
for (const ratio of given.ratio.split(',').map(Number))
  for (const group of given.group.split(',').map(Number)) {
    const { findings } = await shareStage.run(
      model,
      shareStage.options.parse({ cache: { group, ratio } }),
      benchContext(tmpdir(), { calibration, shared }),
    );
    for (const { text, facts } of findings)
      if (facts) console.log(`${given.model}, ${group === 1 ? 'each layer' : `${group} layers`}: ${text}`);
  }
