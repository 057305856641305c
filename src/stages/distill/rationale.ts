import { openTokenizer } from '../../calibration/samples/tokenizer.ts';
import { CompressError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import type { Rationale } from '../../training/rationale.ts';
import type { RationaleOptions } from './options.ts';

/** Markers as token ids. @throws 'unsupported' for texts where the model has no tokenizer, 'usage' for empty ones. */
export const rationaleOf = async (
  options: RationaleOptions | undefined,
  model: Model,
): Promise<Rationale | undefined> => {
  if (!options) return undefined;
  const idsOf = async (marker: string | readonly number[], key: string): Promise<readonly number[]> => {
    if (typeof marker !== 'string') return marker;
    const path = model.companions.find(({ name }) => name === 'tokenizer.json')?.path;
    if (path === undefined)
      throw new CompressError({
        code: 'unsupported',
        message: `the model has no tokenizer.json, so the text ${JSON.stringify(marker)} is no token`,
        where: { key: `rationale.${key}` },
        hint: 'Give the marker as token ids, such as [151667].',
      });
    const ids = [...(await openTokenizer(path)).encode(marker)];
    if (ids.length > 0) return ids;
    throw new CompressError({
      code: 'usage',
      message: `the text ${JSON.stringify(marker)} has no tokens`,
      where: { key: `rationale.${key}` },
    });
  };
  return { begin: await idsOf(options.begin, 'begin'), end: await idsOf(options.end, 'end'), weight: options.weight };
};
