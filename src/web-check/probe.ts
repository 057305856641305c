/** A dense array as text: little-endian bytes in base64. */
export interface WireArray {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly base64: string;
}

/** What is tried once: a model, its external data, one set of inputs. Places are URLs, or paths under Node. */
export interface ProbeRequest {
  /** The module of onnxruntime-web. */
  readonly runtime: string;
  /** Folder of its WebAssembly files, ending in '/'. */
  readonly wasm: string;
  readonly model: string;
  /** External data by the name that the model gives it. */
  readonly external: readonly { readonly path: string; readonly place: string }[];
  readonly feeds: Readonly<Record<string, WireArray>>;
}

export type ProbeAnswer =
  | {
      readonly ok: true;
      /** Milliseconds from the bytes to a session. */
      readonly loadMs: number;
      /** Milliseconds of the first run. */
      readonly runMs: number;
      /** Bytes of WebAssembly memory afterwards. */
      readonly memoryBytes: number;
      readonly outputs: Readonly<Record<string, WireArray>>;
    }
  | { readonly ok: false; readonly error: string };

/** What is used of onnxruntime-web. */
interface Runtime {
  readonly env: { logLevel: string; wasm: { numThreads: number; wasmPaths: string } };
  readonly Tensor: new (dtype: string, data: unknown, shape: readonly number[]) => RuntimeTensor;
  readonly InferenceSession: {
    create(
      model: Uint8Array,
      options: unknown,
    ): Promise<{ run(feeds: Record<string, RuntimeTensor>): Promise<Record<string, RuntimeTensor>> }>;
  };
}

/** What is used of the global WebAssembly. */
interface Assembly {
  Memory: new (descriptor: unknown) => Memory;
  instantiate(...args: readonly unknown[]): Promise<Instance & { readonly instance?: Instance }>;
}

interface Memory {
  readonly buffer: ArrayBuffer;
}

interface Instance {
  readonly exports?: Readonly<Record<string, unknown>>;
}

interface RuntimeTensor {
  readonly type: string;
  readonly dims: readonly number[];
  readonly data: ArrayBufferView;
}

/**
 * Loads and runs a model in onnxruntime-web. It is sent as text to a browser or to a process of its own, so it uses nothing
 * of this module but its arguments.
 */
export const probe = async (
  request: ProbeRequest,
  read: (place: string) => Promise<Uint8Array>,
  load: (place: string) => Promise<unknown>,
): Promise<ProbeAnswer> => {
  const memories = new Set<Memory>();
  const assembly = (globalThis as unknown as { readonly WebAssembly: Assembly }).WebAssembly;
  const { Memory, instantiate } = assembly;
  assembly.Memory = function made(descriptor: unknown) {
    const memory = new Memory(descriptor);
    memories.add(memory);
    return memory;
  } as unknown as Assembly['Memory'];
  assembly.instantiate = async (...args) => {
    const made = await instantiate(...args);
    for (const value of Object.values((made.instance ?? made).exports ?? {}))
      if (value instanceof Memory) memories.add(value);
    return made;
  };
  const arrays: Record<string, new (bytes: ArrayBuffer) => unknown> = {
    float32: Float32Array,
    float64: Float64Array,
    int8: Int8Array,
    uint8: Uint8Array,
    bool: Uint8Array,
    int16: Int16Array,
    uint16: Uint16Array,
    float16: Uint16Array,
    int32: Int32Array,
    uint32: Uint32Array,
    int64: BigInt64Array,
    uint64: BigUint64Array,
  };
  const fromText = (text: string): ArrayBuffer => Uint8Array.from(atob(text), (char) => char.charCodeAt(0)).buffer;
  const toText = (view: ArrayBufferView): string => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    let text = '';
    for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
    return btoa(text);
  };
  try {
    const ort = (await load(request.runtime)) as Runtime;
    ort.env.logLevel = 'fatal';
    ort.env.wasm.numThreads = 1;
    ort.env.wasm.wasmPaths = request.wasm;
    const model = await read(request.model);
    const externalData: { path: string; data: Uint8Array }[] = [];
    for (const { path, place } of request.external) externalData.push({ path, data: await read(place) });
    const feeds: Record<string, RuntimeTensor> = {};
    for (const [name, { dtype, shape, base64 }] of Object.entries(request.feeds)) {
      const View = arrays[dtype];
      if (!View) return { ok: false, error: `inputs of type ${dtype} are not tried` };
      feeds[name] = new ort.Tensor(dtype, new View(fromText(base64)), shape);
    }
    const started = performance.now();
    const session = await ort.InferenceSession.create(model, { executionProviders: ['wasm'], externalData });
    const loaded = performance.now();
    const results = await session.run(feeds);
    const ended = performance.now();
    const outputs: Record<string, WireArray> = {};
    for (const [name, { type, dims, data }] of Object.entries(results))
      outputs[name] = { dtype: type, shape: [...dims], base64: toText(data) };
    let memoryBytes = 0;
    for (const memory of memories) memoryBytes += memory.buffer.byteLength;
    return { ok: true, loadMs: loaded - started, runMs: ended - loaded, memoryBytes, outputs };
  } catch (error) {
    return { ok: false, error: error instanceof Error ? error.message : String(error) };
  }
};
