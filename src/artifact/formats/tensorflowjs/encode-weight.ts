import { encodeElements } from '../../../ir/elements.ts';

/** How weights are stored: as they are, as halves, or as integers with one scale and one offset a weight. */
export const weightForms = ['float32', 'float16', 'uint8', 'uint16'] as const;
export type WeightForm = (typeof weightForms)[number];

/** Bytes of a weight and what its entry in the manifest says of them. */
export interface EncodedWeight {
  readonly bytes: Uint8Array;
  readonly quantization?: {
    readonly dtype: 'uint8' | 'uint16' | 'float16';
    readonly original_dtype: 'float32';
    readonly scale?: number;
    readonly min?: number;
  };
}

/** The grid of integers over the range of the numbers; 0 lies on it, so that zeros stay zeros. */
const gridOf = (numbers: ArrayLike<number>, most: number): { readonly scale: number; readonly min: number } => {
  let [low, high] = [0, 0];
  for (let index = 0; index < numbers.length; index++) {
    low = Math.min(low, numbers[index]!);
    high = Math.max(high, numbers[index]!);
  }
  if (low === high) return { scale: 1, min: 0 };
  const scale = (high - low) / most;
  return { scale, min: -Math.round(-low / scale) * scale };
};

export const encodeWeight = (numbers: Float32Array, form: WeightForm): EncodedWeight => {
  if (form === 'float32') return { bytes: encodeElements('float32', numbers) };
  if (form === 'float16')
    return { bytes: encodeElements('float16', numbers), quantization: { dtype: form, original_dtype: 'float32' } };
  const most = form === 'uint8' ? 255 : 65535;
  const { scale, min } = gridOf(numbers, most);
  const codes = Float64Array.from(numbers, (number) => Math.min(most, Math.max(0, Math.round((number - min) / scale))));
  return {
    bytes: encodeElements(form, codes),
    quantization: { dtype: form, original_dtype: 'float32', scale, min },
  };
};
