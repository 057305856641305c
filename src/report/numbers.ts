import type { MetricResult } from '../recipe/events.ts';
import { formatBytes } from '../recipe/quantity.ts';

/** A number with at most `digits` significant ones, without an exponent where it can be avoided. */
export const formatNumber = (value: number, digits = 5): string => {
  if (!Number.isFinite(value)) return String(value);
  const magnitude = Math.abs(value);
  if (magnitude !== 0 && (magnitude < 1e-5 || magnitude >= 1e9)) return value.toExponential(digits - 2);
  return String(Number(value.toPrecision(digits)));
};

/** Five significant digits, trailing zeros kept, so that values of a column compare at a glance. */
const padded = (value: number): string =>
  Number.isFinite(value) && Math.abs(value) >= 1e-5 ? value.toPrecision(5) : formatNumber(value);

const unitSuffix = (unit: string | undefined): string => {
  if (unit === undefined) return '';
  return unit === 'fraction' ? ' %' : ` ${unit}`;
};

/** A value in its unit without the unit's name. */
const bare = (value: number, unit: string | undefined): string => {
  if (unit === 'fraction') return (value * 100).toFixed(2);
  return Number.isInteger(value) || Math.abs(value) >= 1e4 ? formatNumber(value) : padded(value);
};

/** `1.04 MB`, `61.20 %`, `21.940 dB`. */
export const formatInUnit = (value: number, unit: string | undefined): string =>
  unit === 'bytes' ? formatBytes(value) : `${bare(value, unit)}${unitSuffix(unit)}`;

/** A round number of an axis: `62 %`, `5.5`, `0.2 nats`. */
export const formatMark = (value: number, unit: string | undefined): string => {
  if (unit === 'bytes') return formatBytes(value);
  return unit === 'fraction' ? `${formatNumber(value * 100, 4)} %` : `${formatNumber(value, 4)}${unitSuffix(unit)}`;
};

/** `5.6328 ±0.091`: the value, the half width of its confidence interval, and its unit. */
export const formatResult = ({ value, interval, unit }: MetricResult): string => {
  if (interval === undefined || !(interval > 0) || unit === 'bytes') return formatInUnit(value, unit);
  const half = unit === 'fraction' ? bare(interval, unit) : formatNumber(interval, 2);
  return `${bare(value, unit)} ±${half}${unitSuffix(unit)}`;
};

/** `+3.8 %`, `−1.20 points` for fractions, `0.26×` for sizes. */
export const formatChange = (before: MetricResult, after: MetricResult): string => {
  const sign = (value: number): string => (value < 0 ? '−' : '+');
  if (after.unit === 'bytes') return before.value > 0 ? `${formatNumber(after.value / before.value, 3)}×` : '';
  if (after.unit === 'fraction') {
    const points = (after.value - before.value) * 100;
    return `${sign(points)}${Math.abs(points).toFixed(2)} points`;
  }
  if (before.value === 0) return '';
  const percent = ((after.value - before.value) / Math.abs(before.value)) * 100;
  return `${sign(percent)}${Math.abs(percent).toFixed(2)} %`;
};

/** `1:05`, `2:03:10`. */
export const formatDuration = (milliseconds: number): string => {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const pad = (value: number): string => String(value).padStart(2, '0');
  const hours = Math.floor(seconds / 3600);
  const minutes = Math.floor(seconds / 60) % 60;
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(seconds % 60)}` : `${minutes}:${pad(seconds % 60)}`;
};
