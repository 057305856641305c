import type { DataType } from '../ir/data-type.ts';
import type { Program } from '../ir/graph.ts';
import type { Shape } from '../ir/shape.ts';

/** What a model wants to be fed with: its inputs without those that only override initializers. */
export interface InputSignature {
  readonly name: string;
  readonly dtype: DataType;
  /** undefined where the file does not even state a rank. */
  readonly shape: Shape | undefined;
}

/** The inputs of a program that must be fed, in the graph's order. An input without a stated type counts as float32. */
export const inputSignature = (program: Program): InputSignature[] =>
  program.graph.inputs
    .filter((value) => !value.tensor)
    .map((value) => ({
      name: value.name,
      dtype: (value.type?.kind === 'tensor' ? value.type.dtype : undefined) ?? 'float32',
      shape: value.type?.kind === 'tensor' ? value.type.shape : undefined,
    }));

/** `input_ids: int64 [batch, sequence]`, for messages. */
export const formatSignature = (signature: readonly InputSignature[]): string =>
  signature
    .map(
      ({ name, dtype, shape }) => `${name}: ${dtype} ${shape ? `[${shape.map((dim) => dim ?? '?').join(', ')}]` : '?'}`,
    )
    .join('; ');
