import { CompressError } from '../../errors.ts';
import type { Preprocessing, RawImage } from './preprocessing.ts';

/** Height and width after resizing, before cropping. */
const resizedSize = (height: number, width: number, resize: Preprocessing['resize']): readonly [number, number] => {
  if (resize === undefined) return [height, width];
  if (typeof resize !== 'number') return resize;
  const shorter = Math.min(height, width);
  return [Math.floor((resize * height) / shorter), Math.floor((resize * width) / shorter)];
};

const kernels = { nearest: 'nearest', linear: 'linear', cubic: 'cubic', lanczos: 'lanczos3' } as const;

/** @throws CompressError 'data' when a crop is larger than the picture. */
const cropPlace = (height: number, width: number, crop: readonly [number, number], file: string) => {
  const [cropHeight, cropWidth] = crop;
  if (cropHeight <= height && cropWidth <= width)
    return {
      top: Math.floor((height - cropHeight) / 2),
      left: Math.floor((width - cropWidth) / 2),
      height: cropHeight,
      width: cropWidth,
    };
  throw new CompressError({
    code: 'data',
    message: `a crop of ${cropHeight} × ${cropWidth} does not fit a picture of ${height} × ${width}`,
    where: { file },
    hint: 'Resize pictures first (preprocessing: { resize: … }).',
  });
};

/**
 * Decodes a picture file, resizes and crops it. Transparency is dropped, one-channel pictures become three-channel.
 * @throws CompressError 'data' naming the file when it cannot be decoded.
 */
export const readPicture = async (file: string, preprocessing: Preprocessing): Promise<RawImage> => {
  const { default: sharp } = await import('sharp').catch((cause: unknown) => {
    throw new CompressError({
      code: 'unsupported',
      message: 'pictures need the package sharp, which cannot be loaded',
      hint: 'Run npm install sharp, or give the pictures as arrays (arrays: images.npz).',
      cause,
    });
  });
  try {
    const picture = sharp(file, { failOn: 'error' });
    const { height, width } = await picture.metadata();
    const [newHeight, newWidth] = resizedSize(height, width, preprocessing.resize);
    const crop = preprocessing.crop && cropPlace(newHeight, newWidth, preprocessing.crop, file);
    let pipeline = picture.removeAlpha().toColourspace('srgb');
    if (newHeight !== height || newWidth !== width)
      pipeline = pipeline.resize({
        width: newWidth,
        height: newHeight,
        fit: 'fill',
        kernel: kernels[preprocessing.interpolation],
        fastShrinkOnLoad: false,
      });
    if (crop) pipeline = pipeline.extract(crop);
    const { data, info } = await pipeline.raw({ depth: 'uchar' }).toBuffer({ resolveWithObject: true });
    return { width: info.width, height: info.height, channels: info.channels === 1 ? 1 : 3, pixels: data };
  } catch (cause) {
    if (cause instanceof CompressError) throw cause;
    throw new CompressError({
      code: 'data',
      message: `the picture cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      where: { file },
      hint: 'Remove it from the folder, or convert it to PNG or JPEG.',
      cause,
    });
  }
};
