/** A bound of a gate: `2%` is relative to the value before, a plain number is in the metric's own unit. */
export type Share =
  | { readonly kind: 'relative'; readonly value: number }
  | { readonly kind: 'absolute'; readonly value: number };

const byteUnits: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  m: 1e6,
  mb: 1e6,
  g: 1e9,
  gb: 1e9,
  t: 1e12,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/** Bytes of `2GiB`, `500 kB`, `1e9`, or a plain number; undefined when it is none of these, negative or not finite. */
export const parseBytes = (text: string | number): number | undefined => {
  const match = /^\s*(\d+(?:\.\d+)?(?:e\+?\d+)?)\s*([a-z]*)\s*$/i.exec(String(text));
  const unit = byteUnits[(match?.[2] ?? '').toLowerCase()];
  if (!match || unit === undefined) return undefined;
  const bytes = Math.floor(Number(match[1]) * unit);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
};

/** The bound written as `2%` or `0.1`; undefined when it is neither, negative or not finite. */
export const parseShare = (text: string | number): Share | undefined => {
  const match = /^\s*(\d+(?:\.\d+)?|\.\d+)\s*(%?)\s*$/.exec(String(text));
  if (!match) return undefined;
  const value = Number(match[1]);
  return match[2] ? { kind: 'relative', value: value / 100 } : { kind: 'absolute', value };
};

/** `2.35 MB`: three significant digits, decimal units, as file managers and download pages count. */
export const formatBytes = (bytes: number): string => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let index = 0;
  while (Math.abs(value) >= 999.5 && index < units.length - 1) {
    value /= 1000;
    index++;
  }
  const digits = index === 0 || Math.abs(value) >= 99.95 ? 0 : Math.abs(value) >= 9.995 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[index]}`;
};
