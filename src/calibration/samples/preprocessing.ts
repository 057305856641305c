import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { CompressError } from '../../errors.ts';
import { floatArray } from '../../execution/arrays.ts';
import type { NumericArray } from '../dataset.ts';

/** A decoded picture: interleaved bytes (height, width, channels). */
export interface RawImage {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly pixels: Uint8Array;
}

/** How pixels become a model's input: (pixel · scale − mean) / standard deviation, per channel. */
export interface Preprocessing {
  /** Shorter side after resizing, or exact [height, width]; undefined: as it is. */
  readonly resize: number | readonly [number, number] | undefined;
  /** Centre crop [height, width] after resizing. */
  readonly crop: readonly [number, number] | undefined;
  readonly interpolation: 'nearest' | 'linear' | 'cubic' | 'lanczos';
  readonly layout: 'nchw' | 'nhwc';
  /** undefined: gray for one-channel data, else rgb. */
  readonly channels: 'rgb' | 'bgr' | 'gray' | undefined;
  readonly scale: number;
  /** One number for all channels, or one per channel in the order of `channels`. */
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

const side = z.int().min(1);
const sides = z.union([side, z.tuple([side, side])]);
const perChannel = z.union([z.number(), z.array(z.number()).min(1).max(3)]);

/** `1/255` or a number. */
const fraction = z.union([
  z.number(),
  z.string().regex(/^\s*[\d.]+\s*\/\s*[\d.]+\s*$/, 'a number or a fraction such as 1/255'),
]);

const numberOf = (value: number | string): number => {
  if (typeof value === 'number') return value;
  const [numerator = '', denominator = ''] = value.split('/');
  return Number(numerator) / Number(denominator);
};

const listOf = (value: number | readonly number[]): readonly number[] => (typeof value === 'number' ? [value] : value);

/** `preprocessing` of a specification, as it is written. */
export const preprocessingSpec = z
  .strictObject({
    resize: sides.optional().describe('Shorter side after resizing in pixels, or [height, width] exactly.'),
    crop: sides.optional().describe('Centre crop after resizing: side, or [height, width].'),
    interpolation: z
      .enum(['nearest', 'linear', 'cubic', 'lanczos'])
      .default('linear')
      .describe('How pictures are resized.'),
    layout: z.enum(['nchw', 'nhwc']).default('nchw').describe('Order of axes that the model wants.'),
    channels: z
      .enum(['rgb', 'bgr', 'gray'])
      .optional()
      .describe('Order of channels that the model wants; default rgb.'),
    scale: fraction.default(1).describe('Factor on pixels 0..255, such as 1/255; default 1.'),
    mean: perChannel
      .default(0)
      .describe('Subtracted after scaling: a number, or one per channel in the order of channels.'),
    std: perChannel.default(1).describe('Divisor after subtracting the mean: a number, or one per channel.'),
  })
  .refine(({ std }) => listOf(std).every((value) => value !== 0), { message: 'std must not be zero', path: ['std'] })
  .transform(
    (input): Preprocessing => ({
      resize: input.resize,
      crop: typeof input.crop === 'number' ? [input.crop, input.crop] : input.crop,
      interpolation: input.interpolation,
      layout: input.layout,
      channels: input.channels,
      scale: numberOf(input.scale),
      mean: listOf(input.mean),
      std: listOf(input.std),
    }),
  )
  .describe('How a picture becomes the input of the model.');

/** Pixels as they are, in the order height, width last. */
export const plainPreprocessing: Preprocessing = preprocessingSpec.parse({});

const sizeFields = z.union([
  z.int().min(1),
  z.looseObject({ height: side, width: side }),
  z.looseObject({ shortest_edge: side }),
]);

/** The keys of a preprocessor_config.json that decide what a model sees. */
const preprocessorConfig = z.looseObject({
  do_resize: z.boolean().default(true),
  size: sizeFields.optional(),
  resample: z.int().optional(),
  do_center_crop: z.boolean().default(false),
  crop_size: sizeFields.optional(),
  do_rescale: z.boolean().optional(),
  rescale_factor: z.number().optional(),
  do_normalize: z.boolean().default(true),
  image_mean: z.array(z.number()).optional(),
  image_std: z.array(z.number()).optional(),
});

const sizeOf = (size: z.infer<typeof sizeFields>): number | readonly [number, number] => {
  if (typeof size === 'number') return size;
  if ('shortest_edge' in size) return size.shortest_edge as number;
  const { height, width } = size as { height: number; width: number };
  return [height, width];
};

const cropOf = (size: z.infer<typeof sizeFields>): readonly [number, number] => {
  const found = sizeOf(size);
  return typeof found === 'number' ? [found, found] : found;
};

/** PIL's numbers of resampling filters. */
const resampling: Readonly<Record<number, Preprocessing['interpolation']>> = {
  0: 'nearest',
  1: 'lanczos',
  2: 'linear',
  3: 'cubic',
};

/** Reads a preprocessor_config.json. @throws CompressError 'not-found', 'malformed'. */
export const readPreprocessorConfig = async (file: string): Promise<Preprocessing> => {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new CompressError({ code: 'not-found', message: 'the preprocessing cannot be read', where: { file }, cause });
  });
  let parsed: z.infer<typeof preprocessorConfig>;
  try {
    parsed = preprocessorConfig.parse(JSON.parse(text));
  } catch (cause) {
    throw new CompressError({
      code: 'malformed',
      message: `this is no preprocessor_config.json: ${cause instanceof Error ? cause.message : String(cause)}`,
      where: { file },
      hint: 'Write the preprocessing into the recipe instead.',
      cause,
    });
  }
  const size = parsed.size ?? 224;
  return {
    ...plainPreprocessing,
    // A bare number means a square in image processors that do not crop, the shorter side in those that do.
    resize: parsed.do_resize
      ? typeof size === 'number' && !parsed.do_center_crop
        ? [size, size]
        : sizeOf(size)
      : undefined,
    crop: parsed.do_center_crop ? cropOf(parsed.crop_size ?? 224) : undefined,
    interpolation: resampling[parsed.resample ?? 2] ?? 'linear',
    scale: (parsed.do_rescale ?? true) ? (parsed.rescale_factor ?? 1 / 255) : 1,
    mean: parsed.do_normalize ? (parsed.image_mean ?? [0.5, 0.5, 0.5]) : [0],
    std: parsed.do_normalize ? (parsed.image_std ?? [0.5, 0.5, 0.5]) : [1],
  };
};

const channelOrders = { rgb: [0, 1, 2], bgr: [2, 1, 0], gray: [0] } as const;

/** Luminance by ITU-R BT.601 of an interleaved three-channel picture. */
const toGray = (image: RawImage): RawImage => {
  const pixels = new Uint8Array(image.width * image.height);
  for (let index = 0; index < pixels.length; index++) {
    const [red = 0, green = 0, blue = 0] = image.pixels.subarray(3 * index, 3 * index + 3);
    pixels[index] = Math.round((299 * red + 587 * green + 114 * blue) / 1000);
  }
  return { ...image, channels: 1, pixels };
};

/**
 * A decoded picture, already resized and cropped, as the input of a model: [1, channels, height, width], or
 * [1, height, width, channels] in the layout 'nhwc'. Computed in double precision and rounded once.
 * @throws CompressError 'recipe' when mean or std do not have one number per channel.
 */
export const preprocess = (image: RawImage, preprocessing: Preprocessing): NumericArray => {
  const channels = preprocessing.channels ?? (image.channels === 1 ? 'gray' : 'rgb');
  const order = channelOrders[channels];
  const source = channels === 'gray' && image.channels === 3 ? toGray(image) : image;
  const { width, height, pixels } = source;
  const count = order.length;
  const factor = (list: readonly number[], channel: number, name: string): number => {
    const found = list.length === 1 ? list[0] : list[channel];
    if (found !== undefined && (list.length === 1 || list.length === count)) return found;
    throw new CompressError({
      code: 'recipe',
      message: `${name} has ${list.length} numbers for ${count} channels`,
      where: { key: `preprocessing.${name}` },
    });
  };
  const data = new Float32Array(count * height * width);
  const { layout, scale } = preprocessing;
  order.forEach((from, channel) => {
    const mean = factor(preprocessing.mean, channel, 'mean');
    const std = factor(preprocessing.std, channel, 'std');
    const offset = source.channels === 1 ? 0 : from;
    for (let index = 0; index < width * height; index++) {
      const value = (pixels[index * source.channels + offset]! * scale - mean) / std;
      data[layout === 'nchw' ? channel * width * height + index : index * count + channel] = value;
    }
  });
  return floatArray(layout === 'nchw' ? [1, count, height, width] : [1, height, width, count], data);
};
