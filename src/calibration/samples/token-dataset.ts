import { CompressError } from '../../errors.ts';
import type { Dataset } from '../dataset.ts';
import { chooseSamples, type Selection } from './fields.ts';
import { contentRoom, placeWindows, type WindowOptions, windowSample } from './windows.ts';

/** Windows over documents of token ids: what the text and the token source have in common. */
export interface TokenSource {
  readonly description: string;
  readonly fingerprint: string;
  readonly documents: readonly Int32Array[];
  readonly windows: WindowOptions;
  readonly selection: Selection;
  /** For messages. */
  readonly file: string;
  readonly seed: number;
}

/** @throws CompressError 'data' when there is nothing to score, or too little for what was asked. */
export const tokenDataset = (source: TokenSource): Dataset => {
  const { documents, windows, file } = source;
  if (contentRoom(windows) < 1)
    throw new CompressError({
      code: 'data',
      message: `a window of ${windows.window} tokens has no room beside ${windows.prefix.length + windows.suffix.length} special tokens`,
      where: { file },
      hint: 'Use a longer window.',
    });
  const lengths = documents.map((document) => document.length);
  const places = placeWindows(lengths, windows);
  const unit = `windows of up to ${windows.window} tokens`;
  const chosen = chooseSamples(places.length, source.selection, { file, unit, seed: source.seed });
  return {
    description: source.description,
    fingerprint: source.fingerprint,
    length: chosen.length,
    sample: async (index) => {
      const place = places[chosen[index] ?? -1];
      const document = documents[place?.document ?? -1];
      if (!place || !document) throw new RangeError(`sample ${index} of ${chosen.length}`);
      return windowSample(document, place, windows);
    },
  };
};
