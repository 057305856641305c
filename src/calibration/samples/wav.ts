import { CompressError } from '../../errors.ts';

/** One channel of sound, samples in [-1, 1). */
export interface Sound {
  readonly rate: number;
  readonly samples: Float32Array;
}

interface Format {
  readonly code: number;
  readonly channels: number;
  readonly rate: number;
  readonly bits: number;
}

const formatCodes = { integer: 1, float: 3, extensible: 0xfffe } as const;

const readFormat = (view: DataView, at: number): Format => {
  const code = view.getUint16(at, true);
  return {
    code: code === formatCodes.extensible && view.byteLength >= at + 26 ? view.getUint16(at + 24, true) : code,
    channels: view.getUint16(at + 2, true),
    rate: view.getUint32(at + 4, true),
    bits: view.getUint16(at + 14, true),
  };
};

/** Reads one sample value at a byte position. */
const readerOf = (format: Format, view: DataView, file: string): ((at: number) => number) => {
  const { code, bits } = format;
  if (code === formatCodes.integer && bits === 8) return (at) => (view.getUint8(at) - 128) / 128;
  if (code === formatCodes.integer && bits === 16) return (at) => view.getInt16(at, true) / 32768;
  if (code === formatCodes.integer && bits === 32) return (at) => view.getInt32(at, true) / 2 ** 31;
  if (code === formatCodes.float && bits === 32) return (at) => view.getFloat32(at, true);
  throw new CompressError({
    code: 'unsupported',
    message: `sound of format ${code} with ${bits} bits cannot be read`,
    where: { file },
    hint: 'Convert it to 16-bit PCM.',
  });
};

/**
 * Reads a WAV file (PCM of 8, 16 or 32 bits, or 32-bit floats); several channels are averaged.
 * @throws CompressError 'malformed', 'unsupported'.
 */
export const decodeWav = (bytes: Uint8Array, file: string): Sound => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const malformed = (message: string, byteOffset = 0): CompressError =>
    new CompressError({ code: 'malformed', message, where: { file, byteOffset } });
  const tag = (at: number): string => String.fromCharCode(...bytes.subarray(at, at + 4));
  if (bytes.length < 12 || tag(0) !== 'RIFF' || tag(8) !== 'WAVE') throw malformed('this is no WAV file');
  let format: Format | undefined;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const size = view.getUint32(at + 4, true);
    const begin = at + 8;
    if (tag(at) === 'fmt ') {
      if (size < 16 || begin + size > bytes.length) throw malformed('the format of the sound is cut short', at);
      format = readFormat(view, begin);
    }
    if (tag(at) === 'data') {
      if (!format || format.channels === 0) throw malformed('there is sound data without a format', at);
      const end = Math.min(bytes.length, begin + size);
      const read = readerOf(format, view, file);
      const { channels, bits } = format;
      const width = bits / 8;
      const samples = new Float32Array(Math.floor((end - begin) / (width * channels)));
      for (let index = 0; index < samples.length; index++) {
        let sum = 0;
        for (let channel = 0; channel < channels; channel++) sum += read(begin + (index * channels + channel) * width);
        samples[index] = sum / channels;
      }
      return { rate: format.rate, samples };
    }
    at = begin + size + (size % 2);
  }
  throw malformed('there is no sound data in it');
};
