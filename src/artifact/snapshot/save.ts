import { copyFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { cloneProgram } from '../../ir/clone.ts';
import { CodebookTensor } from '../../ir/codebook-tensor.ts';
import type { Attribute, Carried, Program, Value } from '../../ir/graph.ts';
import type { Model } from '../../ir/model.ts';
import { PackedTensor } from '../../ir/packed-tensor.ts';
import { MemoryTensor, type Tensor } from '../../ir/tensor.ts';
import { allGraphs } from '../../ir/walk.ts';
import { factsOf, type TensorFacts, type ValueFacts } from '../formats/onnx/facts.ts';
import { writeOnnx } from '../formats/onnx/write.ts';
import { StagedFile, writeError } from '../staged-file.ts';
import { writeTensor } from '../write-tensor.ts';
import { fileNames, type SnapshotFacts } from './schema.ts';

/** Smaller plain tensors stay in the program file. */
const smallestMovedTensor = 1024;
const alignment = 64;

/** Stands in the program file for a tensor that lies in the tensor file. */
const placeholder: Tensor = new MemoryTensor('uint8', [0], new Uint8Array(0));

const plainBytes = (array: Uint8Array | Float32Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** The tensor file, with each tensor object once. */
class TensorFile {
  readonly entries: SnapshotFacts['tensors'] = [];
  readonly #numbers = new Map<Tensor, number>();
  readonly #file: StagedFile;

  constructor(file: StagedFile) {
    this.#file = file;
  }

  /** Number of the tensor's entry. */
  async add(tensor: Tensor): Promise<number> {
    const known = this.#numbers.get(tensor);
    if (known !== undefined) return known;
    this.entries.push(await this.#entry(tensor));
    this.#numbers.set(tensor, this.entries.length - 1);
    return this.entries.length - 1;
  }

  #entry(tensor: Tensor): Promise<SnapshotFacts['tensors'][number]> {
    if (tensor instanceof PackedTensor) return this.#packed(tensor);
    return tensor instanceof CodebookTensor ? this.#codebook(tensor) : this.#plain(tensor);
  }

  async #plain(tensor: Tensor): Promise<SnapshotFacts['tensors'][number]> {
    await this.#file.align(alignment);
    const range = { offset: this.#file.byteLength, bytes: tensor.byteLength };
    await writeTensor(this.#file, tensor);
    return { kind: 'plain', dtype: tensor.dtype, shape: [...tensor.shape], range };
  }

  async #packed(tensor: PackedTensor): Promise<SnapshotFacts['tensors'][number]> {
    const { codes, scales, zeroPoints, ...facts } = tensor.facts;
    return {
      kind: 'packed',
      facts: { ...facts, shape: [...facts.shape] },
      codes: await this.#append(codes),
      scales: await this.#append(scales),
      zeroPoints: zeroPoints && (await this.#append(zeroPoints)),
    };
  }

  async #codebook(tensor: CodebookTensor): Promise<SnapshotFacts['tensors'][number]> {
    const { codes, table, scales, name, ...facts } = tensor.facts;
    return {
      kind: 'codebook',
      facts: { ...facts, shape: [...facts.shape], ...(name === undefined ? {} : { name }) },
      codes: await this.#append(codes),
      table: await this.#append(table),
      scales: await this.#append(scales),
    };
  }

  async #append(array: Uint8Array | Float32Array): Promise<{ offset: number; bytes: number }> {
    await this.#file.align(alignment);
    const range = { offset: this.#file.byteLength, bytes: array.byteLength };
    await this.#file.write(plainBytes(array));
    return range;
  }
}

/** Whether a tensor goes to the tensor file. Those that must be written in their file's own form stay where they are. */
const isMoved = (tensor: Tensor, facts: TensorFacts | undefined): boolean => {
  if (tensor instanceof PackedTensor || tensor instanceof CodebookTensor) return true;
  return tensor.kind !== 'strings' && tensor.byteLength >= smallestMovedTensor && facts?.stored?.tensor !== tensor;
};

const isMovedValue = (value: Value): boolean => {
  const { tensor: facts, sparse } = factsOf<ValueFacts>(value.carried);
  return value.tensor !== undefined && sparse?.tensor !== value.tensor && isMoved(value.tensor, facts);
};

const isMovedAttribute = (
  attribute: Attribute,
): attribute is {
  readonly kind: 'tensor';
  readonly value: Tensor;
  readonly name?: string;
  readonly carried?: Carried;
} => attribute.kind === 'tensor' && isMoved(attribute.value, factsOf<TensorFacts>(attribute.carried));

/** Moves tensors of a copy of the program into the tensor file. */
const moveTensors = async (
  program: Program,
  file: TensorFile,
  signal?: AbortSignal,
): Promise<SnapshotFacts['places']> => {
  const places: SnapshotFacts['places'] = [];
  for (const [graph, { initializers, nodes }] of [...allGraphs(program)].entries()) {
    for (const value of initializers) {
      signal?.throwIfAborted();
      if (!value.tensor || !isMovedValue(value)) continue;
      places.push({ tensor: await file.add(value.tensor), graph, value: value.name });
      value.tensor = placeholder;
    }
    for (const [number, node] of nodes.entries())
      for (const [name, attribute] of node.attributes)
        if (isMovedAttribute(attribute)) {
          places.push({ tensor: await file.add(attribute.value), graph, node: number, attribute: name });
          node.attributes.set(name, { ...attribute, value: placeholder });
        }
  }
  return places;
};

const valuesOf = (program: Program): SnapshotFacts['values'] => {
  const found: SnapshotFacts['values'] = [];
  for (const [graph, { inputs, initializers, nodes }] of [...allGraphs(program)].entries()) {
    const values = new Set([...inputs, ...initializers, ...nodes.flatMap((node) => [...node.outputs])]);
    for (const value of values)
      if (value)
        found.push({
          graph,
          name: value.name,
          ...(value.type ? { type: value.type } : {}),
          ...(value.docString === '' ? {} : { docString: value.docString }),
          ...(value.metadata.size === 0 ? {} : { metadata: [...value.metadata] }),
        });
  }
  return found;
};

const floatAttributesOf = (program: Program): SnapshotFacts['floatAttributes'] => {
  const found: SnapshotFacts['floatAttributes'] = [];
  const isRounded = (value: number): boolean => Number.isFinite(value) && Math.fround(value) !== value;
  for (const [graph, { nodes }] of [...allGraphs(program)].entries())
    for (const [node, { attributes }] of nodes.entries())
      for (const [attribute, entry] of attributes)
        if (entry.kind === 'float' && isRounded(entry.value))
          found.push({ graph, node, attribute, value: entry.value });
        else if (entry.kind === 'floats' && entry.value.some(isRounded) && entry.value.every(Number.isFinite))
          found.push({ graph, node, attribute, value: [...entry.value] });
  return found;
};

const copyCompanions = (model: Model, directory: string): string[] =>
  model.companions.map(({ name, path }) => {
    const target = join(directory, fileNames.companions, name);
    try {
      mkdirSync(dirname(target), { recursive: true });
      copyFileSync(path, target);
    } catch (cause) {
      throw writeError(cause, target);
    }
    return name;
  });

/**
 * Writes a model into an existing folder so that `loadSnapshot` gives it back whole: packed weights as they are, types
 * and metadata of every value, and everything that is carried for files. Tensors are written one at a time.
 */
export const saveSnapshot = async (
  model: Model,
  directory: string,
  options: { readonly signal?: AbortSignal } = {},
): Promise<void> => {
  const program = cloneProgram(model.program);
  const file = await StagedFile.create(join(directory, fileNames.tensors));
  const tensors = new TensorFile(file);
  let places: SnapshotFacts['places'];
  try {
    places = await moveTensors(program, tensors, options.signal);
    await file.commit();
  } catch (error) {
    await file.discard();
    throw error;
  }
  await writeOnnx(program, join(directory, fileNames.program), { externalData: 'never' });
  const facts: SnapshotFacts = {
    snapshotVersion: 1,
    ...(model.family === undefined ? {} : { family: model.family }),
    ...(model.config === undefined ? {} : { config: { ...model.config } }),
    origin: model.origin,
    companions: copyCompanions(model, directory),
    tensors: tensors.entries,
    places,
    values: valuesOf(model.program),
    floatAttributes: floatAttributesOf(model.program),
  };
  const factsFile = await StagedFile.create(join(directory, fileNames.facts));
  try {
    await factsFile.write(new TextEncoder().encode(JSON.stringify(facts)));
    await factsFile.commit();
  } catch (error) {
    await factsFile.discard();
    throw error;
  }
};
