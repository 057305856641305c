import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formats } from '../src/artifact/formats/index.ts';
import { writeOnnx } from '../src/artifact/formats/onnx/write.ts';
import { inputFiles, openModel } from '../src/artifact/open.ts';
import { ArtifactWriter } from '../src/artifact/write.ts';
import { onnxruntimeEngine } from '../src/execution/onnxruntime.ts';
import { Graph, Node, newProgram, type Program, Value } from '../src/ir/graph.ts';
import { tensorType } from '../src/ir/shape.ts';
import { DerivedTensor } from '../src/ir/tensor.ts';
import { setThreads } from '../src/kernels/index.ts';
import { Random } from '../src/random.ts';
import { memoryStore } from '../src/stages/memory-store.ts';
import { quantizeStage } from '../src/stages/quantize/index.ts';

/** What rounding a large model took, from opening its file to the finished output folder. */
export interface LargeRounding {
  readonly seconds: number;
  /** Processor time of all threads, which other load does not change. */
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
}

const width = 4096;
const layers = 22;
const narrow = 1024;

/** Approximately normal weights: pieces of one seeded block, from another place for each tensor. */
const seededWeights = (block: Float32Array, index: number, count: number): Uint8Array => {
  const weights = new Float32Array(count);
  let from = (index * 7919) % block.length;
  for (let at = 0; at < count; ) {
    const piece = block.subarray(from, Math.min(block.length, from + count - at));
    weights.set(piece, at);
    at += piece.length;
    from = 0;
  }
  return new Uint8Array(weights.buffer);
};

/** A stack of products of 4096 × 4096 and, every fourth layer, a pair through 1024: 1.5 GB of float32. */
const largeProgram = (): Program => {
  const block = new Random(0, 'weights').normals(1 << 20, 0.02);
  const graph = new Graph('large');
  let value = new Value('x', tensorType('float32', ['rows', width]));
  graph.inputs.push(value);
  let count = 0;
  const product = (input: Value, columns: number, rows: number): Value => {
    const index = count++;
    const tensor = new DerivedTensor('float32', [columns, rows], () => seededWeights(block, index, columns * rows));
    const weight = graph.addInitializer(`layers.${index}.weight`, tensor);
    const output = new Value(`layers.${index}.output`, tensorType('float32', ['rows', rows]));
    graph.insert(new Node({ op: 'MatMul', name: `layers.${index}`, inputs: [input, weight], outputs: [output] }));
    return output;
  };
  for (let layer = 0; layer < layers; layer++) {
    value = product(value, width, width);
    if (layer % 4 === 3) value = product(product(value, width, narrow), narrow, width);
  }
  graph.outputs.push(value);
  return newProgram(graph, 21);
};

/** Rounds `input` to 4 bits in groups of 32 and writes it as MatMulNBits, as `compress quantize` does. */
const roundLarge = async (input: string, output: string): Promise<LargeRounding> => {
  const begin = performance.now();
  const cpu = process.cpuUsage();
  const model = await openModel(input);
  const options = quantizeStage.options.parse({ method: 'rtn', weights: { bits: 4, group_size: 32 } });
  const { model: rounded } = await quantizeStage.run(model, options, {
    calibration: undefined,
    engine: onnxruntimeEngine,
    maxMemoryBytes: 2 ** 29,
    threads: 2,
    seed: 0,
    checkpoints: { get: () => undefined, put: () => undefined },
    shared: memoryStore(),
    scratch: { directory: output },
    emit: () => undefined,
    signal: new AbortController().signal,
  });
  const card = formats.find(({ name }) => name === 'onnx-matmulnbits')!;
  const inputs = inputFiles(input, model);
  const writer = await ArtifactWriter.create(output, { inputs, formatCount: 1 });
  const written = await writer.writeFormat(card, card.options.parse({}), rounded);
  await writer.commit({ version: '0', inputs: [], metrics: [], findings: [], family: undefined, recipe: undefined });
  const { user, system } = process.cpuUsage(cpu);
  return {
    cpuSeconds: (user + system) / 1e6,
    seconds: (performance.now() - begin) / 1000,
    peakBytes: process.resourceUsage().maxRSS * 1024,
    bytesIn: inputs.reduce((sum, path) => sum + statSync(path).size, 0),
    bytesOut: written.byteLength,
  };
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

/** Makes a 1.5 GB model with external data in a temporary folder, rounds it, and says what that took. */
export const rtnLargeBenchmark = async (): Promise<LargeRounding> => {
  const folder = mkdtempSync(join(tmpdir(), 'modelpress-bench-'));
  try {
    const input = join(folder, 'model', 'model.onnx');
    await inChild('make', input);
    return JSON.parse(await inChild('round', input, join(folder, 'out'))) as LargeRounding;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
};

const [, entry, step, ...paths] = process.argv;
if (entry === thisFile) {
  const [input = '', output = ''] = paths;
  if (step === 'make') {
    await mkdir(join(input, '..'), { recursive: true });
    await writeOnnx(largeProgram(), input, { externalData: { thresholdBytes: 1024 } });
  } else if (step === 'round') {
    setThreads(2);
    console.log(JSON.stringify(await roundLarge(input, output)));
  } else {
    const { seconds, cpuSeconds, peakBytes, bytesIn, bytesOut } = await rtnLargeBenchmark();
    const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`;
    console.log(
      `rtn 4 bits g32: ${megabytes(bytesIn)} → ${megabytes(bytesOut)} in ${seconds.toFixed(2)} s (${cpuSeconds.toFixed(2)} s of processor time), peak ${megabytes(peakBytes)}`,
    );
  }
}
