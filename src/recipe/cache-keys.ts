import { Hasher } from '../kernels/index.ts';

/** Plain data as text that does not depend on the order in which keys were written. */
export const canonicalJson = (value: unknown): string =>
  JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  ) ?? 'undefined';

/** BLAKE3 of plain data: equal for equal content, whatever the order of keys. */
export const contentKey = (value: unknown): string =>
  new Hasher().update(new TextEncoder().encode(canonicalJson(value))).hex();
