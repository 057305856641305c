import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeOnnx } from '../src/artifact/formats/onnx/write.ts';
import { openModel } from '../src/artifact/open.ts';
import type { Dataset } from '../src/calibration/dataset.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { curvatureOf } from '../src/curvature/store.ts';
import { bindingOf, bindSample } from '../src/execution/feeds.ts';
import { onnxruntimeEngine } from '../src/execution/onnxruntime.ts';
import { inputSignature } from '../src/execution/signature.ts';
import { buildProgram } from '../src/families/index.ts';
import type { Model } from '../src/ir/model.ts';
import { elementCount } from '../src/ir/shape.ts';
import { DerivedTensor } from '../src/ir/tensor.ts';
import { setThreads } from '../src/kernels/index.ts';
import { Random } from '../src/random.ts';
import { Cache } from '../src/recipe/cache.ts';
import { quantizeStage } from '../src/stages/quantize/index.ts';
import { benchContext } from './context.ts';

/**
 * Time and memory of rounding a Llama with random weights (190 million parameters at 16 layers) beside one float32
 * forward pass over the same calibration data, each step in a process of its own. B of the curvature is collected
 * before and not counted. Costs grow with the layers alone: with one layer, take a small vocabulary, or the head counts too
 * much in the pass.
 *
 *   npx tsx bench/rounding-cost.ts [--layers 16] [--vocabulary 8192] [--windows 64] [--method search,gptq,qronos,curvature] [--bits 4]
 */

const width = 1024;
const inner = 2816;
const window = 512;
/** Token ids that calibration draws from: every vocabulary has them. */
const leastVocabulary = 256;

/** What a step took: seconds, those of all processors together, and the most memory that its process held. */
interface Cost {
  readonly seconds: number;
  /** Processor time, which other load on the machine changes little. */
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

/** Recipe options of what is measured by name. */
const methods: Readonly<Record<string, { readonly method: string; readonly weights?: object }>> = {
  search: { method: 'rtn', weights: { clip: 'mse' } },
  gptq: { method: 'gptq' },
  qronos: { method: 'qronos' },
  curvature: { method: 'curvature' },
};

/** Writes the model as ONNX with external data. */
const makeModel = async (path: string, layers: number, vocabulary: number): Promise<void> => {
  const block = new Random(0, 'weights').normals(1 << 20, 0.02);
  let made = 0;
  const weights = (shape: readonly number[], neutral: 0 | 1): DerivedTensor => {
    const start = made++ * 7919;
    const bytes = (): Uint8Array => {
      const count = elementCount(shape);
      if (shape.length < 2) return new Uint8Array(new Float32Array(count).fill(neutral).buffer);
      const numbers = new Float32Array(count);
      for (let at = 0, from = start % block.length; at < count; from = 0) {
        const piece = block.subarray(from, Math.min(block.length, from + count - at));
        numbers.set(piece, at);
        at += piece.length;
      }
      return new Uint8Array(numbers.buffer);
    };
    return new DerivedTensor('float32', shape, bytes);
  };
  const config = {
    model_type: 'llama',
    vocab_size: vocabulary,
    hidden_size: width,
    intermediate_size: inner,
    num_hidden_layers: layers,
    num_attention_heads: 16,
    num_key_value_heads: 4,
    max_position_embeddings: window,
    rms_norm_eps: 1e-5,
    hidden_act: 'silu',
    tie_word_embeddings: false,
  };
  const parts = ['self_attn.q_proj', 'self_attn.k_proj', 'self_attn.v_proj', 'self_attn.o_proj'];
  const all = [
    ...parts,
    'mlp.gate_proj',
    'mlp.up_proj',
    'mlp.down_proj',
    'input_layernorm',
    'post_attention_layernorm',
  ];
  const names = [
    'model.embed_tokens.weight',
    'model.norm.weight',
    'lm_head.weight',
    ...Array.from({ length: layers }, (_, layer) => all.map((part) => `model.layers.${layer}.${part}.weight`)).flat(),
  ];
  const program = buildProgram(config, {
    names,
    has: (name) => names.includes(name),
    get: (name) => {
      throw new Error(`${name} was asked for without a shape`);
    },
    make: (_, shape, neutral) => weights(shape, neutral),
  });
  await mkdir(join(path, '..'), { recursive: true });
  await writeOnnx(program, path, { externalData: { thresholdBytes: 1024 } });
};

const openAll = async (path: string, windows: number): Promise<{ model: Model; calibration: Dataset }> => {
  const model = await openModel(path);
  const context = { baseDirectory: path, modelInputs: inputSignature(model.program), seed: 0 };
  const spec = { random: null, samples: windows, window, ids: leastVocabulary };
  return { model, calibration: await openDataset(spec, context) };
};

/** One pass of the whole model over all windows. */
const forward = async (model: Model, calibration: Dataset, directory: string): Promise<void> => {
  const session = await onnxruntimeEngine.open(model.program, { scratchDirectory: directory });
  const binding = bindingOf(model.program);
  for (let index = 0; index < calibration.length; index++) {
    const sample = await calibration.sample(index);
    if (sample.kind === 'sequence') throw new Error('windows do not follow each other');
    await session.run(bindSample(sample, binding, `window ${index}`));
  }
  await session.close();
};

const runStep = async (step: string, path: string, windows: number, bits: number): Promise<Cost> => {
  setThreads(2);
  const folder = join(path, '..', '..');
  const { model, calibration } = await openAll(path, windows);
  const scratch = mkdtempSync(join(folder, 'scratch-'));
  const context = benchContext(scratch, {
    calibration: step === 'search' ? undefined : calibration,
    maxMemoryBytes: 160 * 2 ** 20,
    checkpoints: { get: () => undefined, put: () => undefined },
    shared: new Cache(join(folder, 'cache')).statistics('bench'),
  });
  const begin = performance.now();
  const before = process.cpuUsage();
  if (step === 'forward') await forward(model, calibration, scratch);
  else if (step === 'collect')
    await curvatureOf({
      program: model.program,
      dataset: calibration,
      context,
      wanted: ({ op, role }) => op !== 'Gather' && role !== 'head',
    });
  else {
    const { weights, ...rest } = methods[step]!;
    const ignore = ['op:Gather', 'role:head'];
    const options = quantizeStage.options.parse({ ...rest, ignore, weights: { bits, group_size: 32, ...weights } });
    await quantizeStage.run(model, options, context);
  }
  const seconds = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(before);
  return { seconds, cpuSeconds: (user + system) / 1e6, peakBytes: process.resourceUsage().maxRSS * 1024 };
};

const thisFile = fileURLToPath(import.meta.url);

/** Runs a step in a process of its own, so that its peak memory is its own. */
const inChild = (...words: readonly string[]): Promise<string> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [...process.execArgv, thisFile, ...words], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    child.stdout.on('data', (piece) => {
      text += piece;
    });
    child.on('error', reject);
    child.on('close', (code) => (code === 0 ? resolve(text) : reject(new Error(`${words[0]} ended with ${code}`))));
  });

export interface RoundingCost extends Cost {
  readonly name: string;
  /** Times one forward pass, in time and in processor time; undefined for the pass itself. */
  readonly passes: readonly [number, number] | undefined;
}

/** Makes the model in a temporary folder, measures the steps and tells each as it ends. */
export const roundingCosts = async (
  options: {
    readonly layers: number;
    readonly windows: number;
    readonly bits: number;
    readonly vocabulary: number;
    readonly steps: readonly string[];
  },
  tell: (cost: RoundingCost) => void,
): Promise<void> => {
  const folder = mkdtempSync(join(tmpdir(), 'modelpress-bench-'));
  try {
    const path = join(folder, 'model', 'model.onnx');
    await inChild('make', path, String(options.layers), String(options.vocabulary));
    const measure = async (step: string): Promise<Cost> =>
      JSON.parse(await inChild('step', step, path, String(options.windows), String(options.bits))) as Cost;
    const pass = await measure('forward');
    tell({ name: 'forward', ...pass, passes: undefined });
    for (const step of options.steps.flatMap((name) => (name === 'curvature' ? ['collect', name] : [name]))) {
      const cost = await measure(step);
      tell({ name: step, ...cost, passes: [cost.seconds / pass.seconds, cost.cpuSeconds / pass.cpuSeconds] });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

if (process.argv[1] === thisFile) {
  const [, , word, ...rest] = process.argv;
  if (word === 'make') await makeModel(rest[0]!, Number(rest[1]), Number(rest[2]));
  else if (word === 'step')
    console.log(JSON.stringify(await runStep(rest[0]!, rest[1]!, Number(rest[2]), Number(rest[3]))));
  else {
    const { values } = parseArgs({
      options: {
        layers: { type: 'string', default: '16' },
        windows: { type: 'string', default: '64' },
        bits: { type: 'string', default: '4' },
        vocabulary: { type: 'string', default: '8192' },
        method: { type: 'string', default: 'search,gptq,qronos,curvature' },
      },
    });
    const numbers = {
      layers: Number(values.layers),
      windows: Number(values.windows),
      bits: Number(values.bits),
      vocabulary: Number(values.vocabulary),
    };
    await roundingCosts({ ...numbers, steps: values.method.split(',') }, (cost) => {
      const [wall, cpu] = cost.passes ?? [];
      const passes = wall === undefined ? '' : `${wall.toFixed(2)} passes, ${cpu?.toFixed(2)} of processor time`;
      console.log(
        `${cost.name.padEnd(12)}${cost.seconds.toFixed(1).padStart(8)} s  ${cost.cpuSeconds.toFixed(1).padStart(8)} cpu s  ${(cost.peakBytes / 1e6).toFixed(0).padStart(6)} MB  ${passes}`,
      );
    });
  }
}
