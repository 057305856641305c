import { CompressError, CompressErrors } from '../../../errors.ts';
import type { DataType } from '../../../ir/data-type.ts';
import type { Tensor } from '../../../ir/tensor.ts';
import type { SafetensorsSource } from '../safetensors/open.ts';

/** One weight of a checkpoint that is stored as several tensors. */
export interface QuantizedModule {
  /** Module path; the weight that the tensors stand for is `path.weight`. */
  readonly path: string;
  /** Names of the tensors that it takes. */
  readonly parts: readonly string[];
  readonly tensor: Tensor;
}

/** Paths of the modules that have a tensor with this last name, sorted as the checkpoint has them. */
export const modulesWith = (source: SafetensorsSource, part: string): string[] =>
  source.names.filter((name) => name.endsWith(`.${part}`)).map((name) => name.slice(0, -part.length - 1));

/** A checkpoint in which quantized modules look like plain ones: `path.weight` in the place of their parts. */
export const withModules = (source: SafetensorsSource, modules: readonly QuantizedModule[]): SafetensorsSource => {
  const hidden = new Set(modules.flatMap(({ parts }) => parts));
  const made = new Map(modules.map(({ path, tensor }) => [`${path}.weight`, tensor]));
  const names = [...source.names.filter((name) => !hidden.has(name) && !made.has(name)), ...made.keys()];
  const known = new Set(names);
  return {
    ...source,
    names,
    has: (name) => known.has(name),
    get: (name) => made.get(name) ?? source.get(name),
  };
};

/** Something that is wrong with one tensor of a quantized checkpoint. */
interface Complaint {
  readonly code: 'malformed' | 'mismatch' | 'not-found' | 'unsupported';
  readonly tensor: string;
  readonly message: string;
  readonly hint?: string;
}

/** Takes tensors out of a checkpoint and notes what is wrong with them, so that all of it is told together. */
export class PartReader {
  readonly source: SafetensorsSource;
  readonly #problems: CompressError[] = [];

  constructor(source: SafetensorsSource) {
    this.source = source;
  }

  complain({ code, tensor, message, hint }: Complaint): undefined {
    const where = { ...(this.source.origin === undefined ? {} : { file: this.source.origin }), tensor };
    this.#problems.push(new CompressError({ code, message, where, ...(hint === undefined ? {} : { hint }) }));
  }

  /** A tensor of one of these types and this rank; undefined, with a problem noted, where it is not so. */
  take(name: string, dtypes: readonly DataType[], rank: number): Tensor | undefined {
    if (!this.source.has(name))
      return this.complain({
        code: 'not-found',
        tensor: name,
        message: 'the quantized checkpoint lacks this tensor',
        hint: 'Check that all shards are there and that quantization_config belongs to these weights.',
      });
    const tensor = this.source.get(name);
    if (!dtypes.includes(tensor.dtype))
      return this.complain({
        code: 'unsupported',
        tensor: name,
        message: `the tensor is stored as ${tensor.dtype} where ${dtypes.join(' or ')} belongs`,
      });
    if (tensor.shape.length !== rank)
      return this.complain({
        code: 'malformed',
        tensor: name,
        message: `the tensor has shape [${tensor.shape.join(', ')}] where ${rank} dimensions belong`,
      });
    return tensor;
  }

  /** Notes a problem where a tensor has not this shape. Gives whether it has. */
  expectShape(name: string, tensor: Tensor, shape: readonly number[]): boolean {
    if (tensor.shape.length === shape.length && tensor.shape.every((dim, axis) => dim === shape[axis])) return true;
    this.complain({
      code: 'mismatch',
      tensor: name,
      message: `the tensor has shape [${tensor.shape.join(', ')}] where [${shape.join(', ')}] belongs`,
      hint: 'quantization_config (bits, group_size) and the weights may belong to different checkpoints.',
    });
    return false;
  }

  /** @throws all problems together. */
  finish(): void {
    if (this.#problems.length > 0) throw new CompressErrors(this.#problems);
  }
}

/** Element types that scales are stored in. */
export const scaleTypes = ['float16', 'bfloat16', 'float32'] as const;
export type ScaleType = (typeof scaleTypes)[number];

export const isScaleType = (dtype: DataType): dtype is ScaleType => (scaleTypes as readonly DataType[]).includes(dtype);
