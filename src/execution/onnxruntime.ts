import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import type * as Ort from 'onnxruntime-node';
import { encodeProgram, writeOnnx } from '../artifact/formats/onnx/write.ts';
import type { NumericArray } from '../calibration/dataset.ts';
import { CompressError, internalError } from '../errors.ts';
import { cloneGraph } from '../ir/clone.ts';
import type { DataType } from '../ir/data-type.ts';
import type { Program, Value } from '../ir/graph.ts';
import { graphsWithin } from '../ir/walk.ts';
import { whenResumed } from '../pause.ts';
import { arrayFromBytes } from './arrays.ts';
import { checkSignal } from './interrupt.ts';
import { onnxruntimeError } from './onnxruntime-errors.ts';
import { type Engine, type Feeds, type Session, type SessionOptions, sessionThreads } from './session.ts';

/** The package as an ES module sees it. */
type Runtime = (typeof Ort)['default'];

const loadRuntime = async (): Promise<Runtime> => {
  try {
    // A CommonJS package: Node gives its exports as the default export, other loaders give them as the module itself.
    const loaded: typeof Ort & { readonly default?: Runtime } = await import('onnxruntime-node');
    return loaded.default ?? loaded;
  } catch (cause) {
    throw new CompressError({
      code: 'unsupported',
      message: `onnxruntime-node cannot be loaded: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: 'Run npm install; its CPU binaries come with the package for Linux, macOS and Windows on x64 and arm64.',
      cause,
    });
  }
};

const optimizationLevels = { none: 'disabled', basic: 'basic', extended: 'extended', all: 'all' } as const;

const sessionOptions = (options: SessionOptions): Ort.InferenceSession.SessionOptions => {
  const threads = options.threads ?? sessionThreads;
  return {
    executionProviders: [...(options.providers ?? ['cpu'])],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    enableMemPattern: options.memory !== 'lean',
    graphOptimizationLevel: optimizationLevels[options.optimization ?? 'all'],
    // Errors come as exceptions; onnxruntime need not print them too.
    logSeverityLevel: 4,
    // Waiting threads may only spin where each has a core to itself; it does not change results.
    extra: { session: { intra_op: { allow_spinning: threads <= availableParallelism() ? '1' : '0' } } },
  };
};

/** The element types that sessions take and give. */
const sessionTypes = new Set<DataType>([
  'float32',
  'float64',
  'float16',
  'int8',
  'uint8',
  'int16',
  'uint16',
  'int32',
  'uint32',
  'int64',
  'uint64',
  'bool',
]);

const toTensor = (runtime: Runtime, name: string, array: NumericArray): Ort.Tensor => {
  if (!sessionTypes.has(array.dtype))
    throw new CompressError({
      code: 'unsupported',
      message: `onnxruntime-node cannot be fed with ${array.dtype} (input ${name})`,
      hint: 'Give the model inputs of float32, float16 or an integer type.',
    });
  return new runtime.Tensor(array.dtype as Ort.Tensor.Type, array.data as Ort.Tensor.DataType, [...array.shape]);
};

const fromTensor = (name: string, tensor: Ort.Tensor): NumericArray => {
  const { data, dims, type } = tensor;
  if (!ArrayBuffer.isView(data) || !sessionTypes.has(type as DataType))
    throw new CompressError({
      code: 'unsupported',
      message: `the output ${name} is a ${type}, which is no array of numbers`,
    });
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return arrayFromBytes(type as DataType, [...dims], bytes);
};

/** A copy of the program with further values as outputs. Values that are inputs need no output. */
const withOutputs = (program: Program, fetch: readonly Value[]): Program => {
  const known = new Map<Value, Value>();
  const graph = cloneGraph(program.graph, known);
  const present = new Set(graph.outputs);
  for (const value of fetch) {
    const copy = known.get(value);
    if (!copy || (!copy.producer && !graph.inputs.includes(copy)))
      throw internalError(
        `the value ${value.name} cannot be fetched: it is no computed value of graph ${program.graph.name}`,
      );
    if (!copy.producer || present.has(copy)) continue;
    if (copy.producer.graph !== graph)
      throw new CompressError({
        code: 'unsupported',
        message: `the value ${value.name} is computed in a branch or loop body and cannot be observed from outside`,
        hint: 'Inline constant branches first, or use a method that needs no calibration for these weights.',
      });
    present.add(copy);
    graph.outputs.push(copy);
  }
  return { ...program, graph };
};

const constantBytes = (program: Program): number => {
  let sum = 0;
  for (const graph of graphsWithin(program.graph))
    for (const value of graph.initializers) sum += value.tensor?.byteLength ?? 0;
  return sum;
};

/** Models above this are handed over through a file, which onnxruntime maps instead of copying it. */
const largestInMemory = 512 * 1024 * 1024;

/** A native session, and the folder that its model lies in, where there is one. */
interface Loaded {
  readonly native: Ort.InferenceSession;
  readonly folder?: string;
}

const load = async (runtime: Runtime, program: Program, options: SessionOptions): Promise<Loaded> => {
  const native = sessionOptions(options);
  if (constantBytes(program) <= largestInMemory)
    return { native: await runtime.InferenceSession.create(encodeProgram(program), native) };
  const folder = await mkdtemp(join(options.scratchDirectory ?? tmpdir(), 'modelpress-session-'));
  try {
    const path = join(folder, 'model.onnx');
    const { signal } = options;
    await writeOnnx(program, path, { externalData: { thresholdBytes: 1024 }, ...(signal ? { signal } : {}) });
    return { native: await runtime.InferenceSession.create(path, native), folder };
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
};

const open = async (program: Program, options: SessionOptions = {}): Promise<Session> => {
  checkSignal(options.signal);
  const runtime = await loadRuntime();
  const model = options.origin ?? (program.graph.name || 'the model');
  const fetched = options.fetch ?? [];
  const extended = fetched.length > 0 ? withOutputs(program, fetched) : program;
  const { native, folder } = await load(runtime, extended, options).catch((cause: unknown) => {
    throw cause instanceof CompressError ? cause : onnxruntimeError(cause, 'load', model, 'malformed');
  });
  const inputs = new Set(native.inputNames);
  const echoed = fetched.filter((value) => !value.producer).map((value) => value.name);

  const run = async (feeds: Feeds, wanted?: readonly string[]): Promise<Map<string, NumericArray>> => {
    checkSignal(options.signal);
    const resumed = whenResumed(options.signal);
    if (resumed) await resumed;
    const fed: Record<string, Ort.Tensor> = {};
    for (const [name, array] of feeds) if (inputs.has(name)) fed[name] = toTensor(runtime, name, array);
    const names = (wanted ?? native.outputNames).filter((name) => !echoed.includes(name));
    const arrays = new Map<string, NumericArray>();
    if (names.length > 0) {
      const results = await native.run(fed, names).catch((cause: unknown) => {
        throw onnxruntimeError(cause, 'run', model, 'mismatch');
      });
      for (const name of names) arrays.set(name, fromTensor(name, results[name]!));
    }
    for (const name of echoed) {
      const array = feeds.get(name);
      if (array && (!wanted || wanted.includes(name))) arrays.set(name, array);
    }
    return arrays;
  };

  return {
    inputNames: native.inputNames,
    outputNames: native.outputNames,
    run,
    close: async () => {
      await native.release();
      if (folder) await rm(folder, { recursive: true, force: true });
    },
  };
};

/**
 * onnxruntime-node. Sessions run sequentially with a fixed number of threads (see `sessionThreads`), so that results
 * are the same for any number of cores; they block the event loop while they run.
 * @throws CompressError 'unsupported', 'malformed', 'mismatch' or 'resource' with onnxruntime's message.
 */
export const onnxruntimeEngine: Engine = { name: 'onnxruntime', open };
