import { realpathSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { CompressError } from '../../../errors.ts';
import type { Program, Value } from '../../../ir/graph.ts';
import { FileTensor, type Tensor } from '../../../ir/tensor.ts';
import { allGraphs, graphsWithin } from '../../../ir/walk.ts';
import { StagedFile } from '../../staged-file.ts';
import { writeTensor } from '../../write-tensor.ts';
import type { WriteOptions, WrittenFile } from '../../written-file.ts';
import { denseInitializers } from './encode-graph.ts';
import { type ExternalLayout, layoutModel } from './model-layout.ts';
import { payloadFields } from './wire/payload.ts';

/**
 * Whether tensors go to a file of their own. 'auto': only when one file would be too large for protobuf (2 GiB).
 * With an object, initializers of at least `thresholdBytes` do; where `chunkBytes` is given, a file that would grow
 * beyond it is followed by `fileName_1`, `fileName_2`, … (a larger tensor has a file to itself).
 */
export type ExternalData =
  | 'auto'
  | 'never'
  | { readonly thresholdBytes: number; readonly fileName?: string; readonly chunkBytes?: number };

export interface WriteOnnxOptions extends WriteOptions {
  readonly externalData?: ExternalData;
}

/** Protobuf's limit of one message. */
const largestModelFile = 2 ** 31 - 1;
/** Under 'auto', tensors of more than this together go to a data file; it leaves room for everything else. */
const largestInlineTensors = 2_000_000_000;
/** Smaller tensors stay in the model file: shapes and scalars that shape inference reads. */
const usualThresholdBytes = 1024;
/** Tensors that are mapped into memory begin on a page; the rest on a cache line, which vector loads like. */
const pageBytes = 4096;
const cacheLineBytes = 64;
const smallestPageAligned = 1024 * 1024;

const alignmentOf = (tensor: Tensor): number => (tensor.byteLength >= smallestPageAligned ? pageBytes : cacheLineBytes);

const tooLarge = (byteLength: number): CompressError =>
  new CompressError({
    code: 'unsupported',
    message: `the model takes ${byteLength} bytes in one file, more than the 2 GiB that a protobuf file can have`,
    hint: 'Write it with external data.',
  });

/** The model as one ONNX file in memory, all tensors in it. @throws unsupported when it would be above 2 GiB. */
export const encodeProgram = (program: Program): Uint8Array => {
  const { parts, byteLength } = layoutModel(program);
  if (byteLength > largestModelFile) throw tooLarge(byteLength);
  const file = new Uint8Array(byteLength);
  let at = 0;
  for (const part of parts) {
    file.set(part instanceof Uint8Array ? part : part.bytes(), at);
    at += part.byteLength;
  }
  return file;
};

/** Initializers of all graphs but function bodies, which have none, in the order in which they are written. */
const initializersOf = (program: Program): Value[] => [...graphsWithin(program.graph)].flatMap(denseInitializers);

const bytesOfInitializers = (values: readonly Value[]): number =>
  values.reduce((sum, value) => sum + (value.tensor?.byteLength ?? 0), 0);

/** One data file: its tensors in the order in which they lie. */
interface DataFile {
  readonly location: string;
  readonly values: readonly Value[];
  readonly byteLength: number;
}

interface DataPlan extends ExternalLayout {
  readonly files: readonly DataFile[];
}

const planData = (program: Program, thresholdBytes: number, name: string, chunkBytes: number): DataPlan => {
  const values = initializersOf(program).filter(
    ({ tensor }) => tensor && tensor.kind !== 'strings' && tensor.byteLength >= Math.max(1, thresholdBytes),
  );
  const places = new Map<Value, { location: string; offset: number }>();
  const files: { location: string; values: Value[]; byteLength: number }[] = [];
  for (const value of values) {
    const tensor = value.tensor as Tensor;
    const alignment = alignmentOf(tensor);
    const startIn = (file: DataFile): number => Math.ceil(file.byteLength / alignment) * alignment;
    let file = files.at(-1);
    if (!file || startIn(file) + tensor.byteLength > chunkBytes) {
      file = { location: files.length === 0 ? name : `${name}_${files.length}`, values: [], byteLength: 0 };
      files.push(file);
    }
    const offset = startIn(file);
    places.set(value, { location: file.location, offset });
    file.values.push(value);
    file.byteLength = offset + tensor.byteLength;
  }
  return { places, files };
};

const planFor = (program: Program, path: string, choice: ExternalData): DataPlan | undefined => {
  if (choice === 'never') return undefined;
  const usualName = `${basename(path)}.data`;
  if (choice !== 'auto')
    return planData(
      program,
      choice.thresholdBytes,
      choice.fileName ?? usualName,
      choice.chunkBytes ?? Number.POSITIVE_INFINITY,
    );
  if (bytesOfInitializers(initializersOf(program)) <= largestInlineTensors) return undefined;
  return planData(program, usualThresholdBytes, usualName, Number.POSITIVE_INFINITY);
};

/** Initializers and tensors in attributes. */
function* tensorsOf(program: Program): Generator<{ readonly name: string; readonly tensor: Tensor | undefined }> {
  for (const graph of allGraphs(program)) {
    yield* graph.initializers;
    for (const node of graph.nodes)
      for (const attribute of node.attributes.values())
        if (attribute.kind === 'tensor') yield { name: node.outputs[0]?.name ?? node.name, tensor: attribute.value };
  }
}

/** Tensors are read while the files are written, so no target may be a file that a tensor still lies in. */
const refuseOverwrite = (program: Program, targets: readonly string[]): void => {
  const real = (path: string): string => {
    try {
      return realpathSync(path);
    } catch {
      return resolve(path);
    }
  };
  const wanted = new Set(targets.map(real));
  for (const { name, tensor } of tensorsOf(program))
    if (tensor instanceof FileTensor && wanted.has(real(tensor.path)))
      throw new CompressError({
        code: 'unsafe',
        message: 'writing here would overwrite a file that the model is still read from',
        where: { file: tensor.path, tensor: name },
        hint: 'Choose another output path.',
      });
};

/**
 * Writes a model file, and data files beside it where asked for or needed, tensor by tensor: at most one tensor is in
 * memory. The same program gives the same bytes. All files appear only when all are complete.
 * @throws unsafe when a target is a file that the model is read from; resource errors when the disk refuses.
 */
export const writeOnnx = async (
  program: Program,
  path: string,
  options: WriteOnnxOptions = {},
): Promise<WrittenFile[]> => {
  const data = planFor(program, path, options.externalData ?? 'auto');
  const layout = layoutModel(program, data);
  if (layout.byteLength > largestModelFile) throw tooLarge(layout.byteLength);
  const dataFiles = data?.files ?? [];
  const dataPathOf = ({ location }: DataFile): string => join(dirname(path), location);
  refuseOverwrite(program, [path, ...dataFiles.map(dataPathOf)]);
  const total = dataFiles.reduce((sum, file) => sum + file.byteLength, layout.byteLength);
  let done = 0;
  const finished = (bytes: number, item: string): void => {
    done += bytes;
    options.onProgress?.(done, total, item);
    options.signal?.throwIfAborted();
  };
  const files: StagedFile[] = [];
  try {
    for (const dataFile of dataFiles) {
      const file = await StagedFile.create(dataPathOf(dataFile));
      files.push(file);
      for (const value of dataFile.values) {
        const tensor = value.tensor as Tensor;
        const before = file.byteLength;
        await file.align(alignmentOf(tensor));
        await writeTensor(file, tensor);
        finished(file.byteLength - before, value.name);
      }
    }
    const file = await StagedFile.create(path);
    files.push(file);
    for (const part of layout.parts) {
      if (part instanceof Uint8Array) await file.write(part);
      else if (part.field === payloadFields.rawData) await writeTensor(file, part.tensor);
      else await file.write(part.bytes());
      finished(part.byteLength, basename(path));
    }
    for (const staged of files) await staged.commit();
  } catch (error) {
    for (const staged of files) await staged.discard();
    throw error;
  }
  return files.map((file) => ({ path: file.path, byteLength: file.byteLength }));
};
