import { addDims, ceilDivideDims, floorDivideDims, multiplyDims, subtractDims } from '../dimension.ts';
import type { Dim, Shape } from '../shape.ts';
import type { Call } from './call.ts';

/** Windows that slide over the spatial axes of (N, C, …) arrays: convolutions and poolings. */
export interface Windows {
  readonly kernel: readonly Dim[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Begin of every axis, then end of every axis. */
  readonly pads: readonly number[];
  readonly autoPad: string;
}

/** The window attributes of a node, with their defaults. @throws InferenceProblem when a list has the wrong length. */
export const windowsOf = (call: Call, kernel: readonly Dim[]): Windows => {
  const spatial = kernel.length;
  const list = (name: string, length: number, fallback: number): readonly number[] => {
    const given = call.node.ints(name) ?? new Array<number>(length).fill(fallback);
    if (given.length !== length) call.problem(`${name} has ${given.length} entries, ${length} are needed`);
    return given;
  };
  return {
    kernel,
    strides: list('strides', spatial, 1),
    dilations: list('dilations', spatial, 1),
    pads: list('pads', 2 * spatial, 0),
    autoPad: call.node.text('auto_pad') ?? 'NOTSET',
  };
};

/** dilation * (kernel - 1) + 1 */
const extent = (kernel: Dim, dilation: number): Dim => addDims(multiplyDims(dilation, subtractDims(kernel, 1)), 1);

/** Positions of a window along one axis when the last partial window counts (ceil_mode): it must begin inside the input. */
const roundedUp = (input: Dim, kernel: Dim, stride: number, begin: number, end: number): Dim => {
  const padded = addDims(input, begin + end);
  const positions = addDims(ceilDivideDims(subtractDims(padded, kernel), stride), 1);
  if (typeof positions === 'number' && typeof input === 'number')
    return (positions - 1) * stride >= input + begin ? positions - 1 : positions;
  return typeof kernel === 'number' && stride <= kernel && end === 0 ? positions : null;
};

/** The spatial dimensions of the result. @throws InferenceProblem when no window fits. */
export const windowPositions = (call: Call, input: Shape, windows: Windows): Dim[] =>
  input.map((dim, axis) => {
    const stride = windows.strides[axis]!;
    const kernel = extent(windows.kernel[axis] ?? null, windows.dilations[axis]!);
    if (windows.autoPad.startsWith('SAME')) return ceilDivideDims(dim, stride);
    const valid = windows.autoPad === 'VALID';
    const begin = valid ? 0 : windows.pads[axis]!;
    const end = valid ? 0 : windows.pads[axis + input.length]!;
    if (call.node.int('ceil_mode', 0) === 1) return roundedUp(dim, kernel, stride, begin, end);
    const room = subtractDims(addDims(dim, begin + end), kernel);
    if (typeof room === 'number' && room < 0)
      call.problem(`a window of ${kernel} does not fit axis ${axis + 2} of ${dim} with padding ${begin} and ${end}`);
    return addDims(floorDivideDims(room, stride), 1);
  });
