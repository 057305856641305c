import { CompressError, CompressErrors, internalError } from '../errors.ts';
import { elementCount } from '../ir/shape.ts';
import { DerivedTensor, type Tensor } from '../ir/tensor.ts';
import type { BuildOptions, TensorSource } from './family.ts';
import { castTensor, offsetTensor, transposeTensor } from './lazy.ts';

/** Rewrites names of a checkpoint into the names that the family asks for. */
export type Renames = readonly (readonly [RegExp, string])[];

const storageTypes = ['float32', 'float16', 'bfloat16', 'float64', 'float8e4m3fn', 'float8e5m2'];

/** Tensors that checkpoints carry though they are computed from the configuration. */
const buffers = /(^|\.)(inv_freq|masked_bias|attn\.bias|position_ids|token_type_ids|num_batches_tracked)$/;

const namesInMessage = 8;

const list = (names: readonly string[]): string =>
  names.length <= namesInMessage
    ? names.join(', ')
    : `${names.slice(0, namesInMessage).join(', ')} and ${names.length - namesInMessage} more`;

/**
 * A checkpoint's tensors as a graph needs them: checked, cast and transposed lazily. Missing and ill-shaped tensors
 * are collected and reported together by `finish`; until then empty stand-ins take their place.
 */
export class WeightReader {
  readonly #source: TensorSource;
  readonly #dtype: BuildOptions['dtype'];
  /** Stored name by the name that the family asks for. */
  readonly #stored = new Map<string, string>();
  readonly #used = new Set<string>();
  readonly #missing = new Set<string>();
  readonly #problems: CompressError[] = [];

  constructor(source: TensorSource, dtype: BuildOptions['dtype'], renames: Renames = []) {
    this.#source = source;
    this.#dtype = dtype;
    for (const name of source.names)
      this.#stored.set(
        renames.reduce((renamed, [pattern, replacement]) => renamed.replace(pattern, replacement), name),
        name,
      );
  }

  has(name: string): boolean {
    return this.#stored.has(name);
  }

  /** The first prefix under which `name` exists; the first of all where it exists under none. */
  prefixOf(name: string, ...prefixes: readonly [string, ...string[]]): string {
    return prefixes.find((prefix) => this.has(prefix + name)) ?? prefixes[0];
  }

  /**
   * A tensor as it is stored, of this shape.
   * @param neutral what a gain that changes nothing is stored as, for sources that make their tensors up.
   */
  stored(name: string, shape: readonly number[], neutral: 0 | 1 = 1): Tensor {
    const stored = this.#stored.get(name);
    if (stored === undefined) {
      this.#missing.add(name);
      return this.#standIn(name, shape);
    }
    this.#used.add(name);
    if (this.#source.make) return this.#source.make(stored, shape, neutral);
    const tensor = this.#source.get(stored);
    if (!storageTypes.includes(tensor.dtype))
      this.#report(
        'unsupported',
        stored,
        `the weight is stored as ${tensor.dtype}; weights must be one of ${storageTypes.join(', ')}`,
        'Start from the checkpoint that has not been quantized yet.',
      );
    else if (tensor.shape.length !== shape.length || shape.some((dim, axis) => dim !== tensor.shape[axis]))
      this.#report(
        'mismatch',
        stored,
        `the configuration asks for shape [${shape.join(', ')}], the tensor has [${tensor.shape.join(', ')}]`,
        'config.json and the weights may belong to different models.',
      );
    else return tensor;
    return this.#standIn(name, shape);
  }

  /** A tensor in the type that the graph computes in. */
  take(name: string, shape: readonly number[]): Tensor {
    return castTensor(this.stored(name, shape), this.#dtype);
  }

  /** The weight (outputs, inputs) of a linear layer as (inputs, outputs). */
  transposed(name: string, outputs: number, inputs: number): Tensor {
    return this.transposeOf(this.stored(name, [outputs, inputs]));
  }

  /** A stored matrix (rows, columns) as (columns, rows), in the type that the graph computes in. */
  transposeOf(matrix: Tensor): Tensor {
    return transposeTensor(matrix, this.#dtype);
  }

  /** A stored tensor in the type that the graph computes in. */
  castOf(tensor: Tensor): Tensor {
    return castTensor(tensor, this.#dtype);
  }

  /** `1 + w`. */
  plusOne(name: string, shape: readonly number[]): Tensor {
    return offsetTensor(this.stored(name, shape, 0), 1, this.#dtype);
  }

  /** Leaves tensors out on purpose: they are not reported as unused. */
  leaveOut(...names: readonly string[]): void {
    for (const name of names) this.#used.add(name);
  }

  /** @throws all missing and ill-shaped tensors together. Gives the names of those that nothing asked for. */
  finish(): string[] {
    const problems = [...this.#problems];
    const missing = [...this.#missing];
    if (missing.length > 0)
      problems.unshift(
        new CompressError({
          code: 'not-found',
          message:
            missing.length === 1
              ? `the checkpoint lacks the tensor ${missing[0]}`
              : `the checkpoint lacks ${missing.length} tensors: ${list(missing)}`,
          where: { ...this.#where(), tensor: missing[0]! },
          hint: 'Check that all shards are there and that config.json belongs to these weights.',
        }),
      );
    if (problems.length > 0) throw new CompressErrors(problems);
    const unused = [...this.#stored].filter(([name]) => !this.#used.has(name) && !buffers.test(name));
    return unused.map(([, stored]) => stored).sort();
  }

  #where(): { file?: string } {
    return this.#source.origin === undefined ? {} : { file: this.#source.origin };
  }

  #report(code: 'mismatch' | 'unsupported', tensor: string, message: string, hint: string): void {
    this.#problems.push(new CompressError({ code, message, where: { ...this.#where(), tensor }, hint }));
  }

  #standIn(name: string, shape: readonly number[]): Tensor {
    return new DerivedTensor('float32', shape, () => {
      throw internalError(`the stand-in for tensor ${name} (${elementCount(shape)} elements) was read`);
    });
  }
}
