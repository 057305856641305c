import type { Site } from '../../../analysis/sites.ts';
import { CompressError } from '../../../errors.ts';
import { bitsKey, groupSizeKey } from '../../../ir/model.ts';
import { codeWidths, type RequestedScheme, type WeightScheme } from './scheme.ts';

const refuse = (site: Site, what: string): CompressError =>
  new CompressError({
    code: 'recipe',
    message: `the allocation of ${site.name} is ${what}`,
    where: { site: site.name },
    hint: `Widths are ${codeWidths.join(', ')} or none, group sizes at least 16 or "row".`,
  });

const groupSizeOf = (site: Site, text: string | undefined): WeightScheme['groupSize'] | undefined => {
  if (text === undefined || text === 'row') return text;
  const size = Number(text);
  if (Number.isInteger(size) && size >= 16) return size;
  throw refuse(site, `groups of ${text}`);
};

/**
 * A request with the width that an allocation (stage sensitivity) has left on the site's node, where it is 'auto';
 * 'keep' for sites that the allocation keeps or does not know. @throws CompressError 'recipe' for a width that no code has.
 */
export const allocatedScheme = (
  site: Site,
  request: RequestedScheme,
): (RequestedScheme & { readonly bits: WeightScheme['bits'] }) | 'keep' => {
  const { bits } = request;
  if (bits !== 'auto') return { ...request, bits };
  const text = site.node.metadata.get(bitsKey);
  if (text === undefined || text === 'none') return 'keep';
  const width = codeWidths.find((known) => String(known) === text);
  if (width === undefined) throw refuse(site, `${text} bits`);
  const groupSize = groupSizeOf(site, site.node.metadata.get(groupSizeKey));
  return { ...request, bits: width, ...(groupSize === undefined ? {} : { groupSize }) };
};
