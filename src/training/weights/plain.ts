import { floatTensor } from '../../ir/read.ts';
import type { ParameterGroup } from '../parameters.ts';
import type { TrainedWeight } from './weight.ts';

/** A float32 constant that is trained as it is: the session reads the parameter's own memory. */
export const plainWeight = (
  name: string,
  shape: readonly number[],
  initial: Float32Array,
  group: ParameterGroup,
): TrainedWeight => ({
  name,
  parameters: [{ name, shape, group, initial }],
  leafShape: shape,
  arrangement: { kind: 'whole' },
  leaf: async ([weight]) => weight!,
  pullBack: async (_, gradient) => [gradient],
  tensor: async ([weight]) => floatTensor(shape, weight!.slice()),
});
