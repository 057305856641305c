import type { Sample } from '../dataset.ts';

/** How runs of tokens are cut into samples. */
export interface WindowOptions {
  /** Greatest number of tokens in a sample, `prefix` and `suffix` included. */
  readonly window: number;
  /** New content tokens per window; at most the content that fits a window, which is the default: no overlap. */
  readonly stride: number | undefined;
  /** Token ids in front of every window ([BOS]) and behind it ([SEP]). */
  readonly prefix: readonly number[];
  readonly suffix: readonly number[];
}

/** A window: content tokens `begin..end` of a document, of which those from `fresh` on are scored. */
export interface WindowPlace {
  readonly document: number;
  readonly begin: number;
  readonly fresh: number;
  readonly end: number;
}

/** Content tokens that fit a window beside the special ones. */
export const contentRoom = (options: WindowOptions): number =>
  options.window - options.prefix.length - options.suffix.length;

/**
 * Cuts documents (by their lengths in tokens) into windows. A document's last window may be shorter; with a stride
 * below the room, each window repeats tokens of the one before as unscored context. Windows in which nothing could be
 * scored or fed (a single token without a prefix) are left out.
 */
export const placeWindows = (lengths: readonly number[], options: WindowOptions): WindowPlace[] => {
  const room = contentRoom(options);
  const stride = Math.min(options.stride ?? room, room);
  const least = options.prefix.length > 0 ? 1 : 2;
  return lengths.flatMap((length, document) => {
    const places: WindowPlace[] = [];
    for (let fresh = 0; fresh < length; ) {
      const end = Math.min(length, fresh === 0 ? room : fresh + stride);
      const begin = stride < room ? Math.max(0, end - room) : fresh;
      if (end - begin >= least) places.push({ document, begin, fresh, end });
      fresh = end;
    }
    return places;
  });
};

/** The sample of one window. Scored are the fresh content tokens, except a first token that nothing predicts. */
export const windowSample = (document: Int32Array, place: WindowPlace, options: WindowOptions): Sample => {
  const content = document.subarray(place.begin, place.end);
  const ids = Int32Array.from([...options.prefix, ...content, ...options.suffix]);
  const scored = new Uint8Array(ids.length);
  const begin = options.prefix.length;
  scored.fill(1, begin + place.fresh - place.begin, begin + content.length);
  scored[0] = 0;
  return { kind: 'tokens', ids, scored };
};

/** Splits a stream at a token id; the id itself is dropped, and so are empty documents. */
export const splitStream = (stream: Int32Array, separator: number | undefined): Int32Array[] => {
  if (separator === undefined) return stream.length > 0 ? [stream] : [];
  const documents: Int32Array[] = [];
  let begin = 0;
  for (let index = 0; index <= stream.length; index++)
    if (index === stream.length || stream[index] === separator) {
      if (index > begin) documents.push(stream.subarray(begin, index));
      begin = index + 1;
    }
  return documents;
};
