import { create } from '@bufbuild/protobuf';
import { type StringStringEntryProto, StringStringEntryProtoSchema } from './generated/onnx_pb.ts';

/** Texts by key; a key that occurs twice keeps its last text. */
export const decodeEntries = (entries: readonly StringStringEntryProto[]): Map<string, string> =>
  new Map(entries.map((entry) => [entry.key, entry.value]));

/** Adds the texts of entries to a map. */
export const setTexts = (target: Map<string, string>, entries: readonly StringStringEntryProto[]): void => {
  for (const [key, text] of decodeEntries(entries)) target.set(key, text);
};

export const encodeEntries = (texts: ReadonlyMap<string, string>): StringStringEntryProto[] =>
  [...texts].map(([key, value]) => create(StringStringEntryProtoSchema, { key, value }));

/** Whether writing the decoded entries gives the same entries: no key twice, none without key or text. */
export const areUsualEntries = (entries: readonly StringStringEntryProto[]): boolean =>
  new Set(entries.map((entry) => entry.key)).size === entries.length &&
  entries.every((entry) => Object.hasOwn(entry, 'key') && Object.hasOwn(entry, 'value') && !entry.$unknown);

const sameTexts = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean =>
  a.size === b.size && [...a].every(([key, text]) => b.get(key) === text);

/** The entries to write: `unusual` ones of the file while they still say the same, else one entry a key. */
export const entriesFor = (
  texts: ReadonlyMap<string, string>,
  unusual: readonly StringStringEntryProto[] | undefined,
): StringStringEntryProto[] =>
  unusual && unusual.length > 0 && sameTexts(decodeEntries(unusual), texts) ? [...unusual] : encodeEntries(texts);
