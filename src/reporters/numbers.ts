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

const isFraction = (result: MetricResult): boolean => result.unit === 'fraction' || result.unit === '%';

const inUnit = (result: MetricResult, value: number): string => {
  if (result.unit === 'bytes') return formatBytes(value);
  if (isFraction(result)) return `${(result.unit === '%' ? value : value * 100).toFixed(2)} %`;
  const number = Number.isInteger(value) || Math.abs(value) >= 1e4 ? formatNumber(value) : padded(value);
  return `${number}${result.unit ? ` ${result.unit}` : ''}`;
};

/** `5.6328 ±0.09`: the value, its unit and the half width of its confidence interval. */
export const formatResult = (result: MetricResult): string => {
  if (result.interval === undefined || !(result.interval > 0)) return inUnit(result, result.value);
  const half = isFraction(result)
    ? (result.unit === '%' ? result.interval : result.interval * 100).toFixed(2)
    : formatNumber(result.interval, 2);
  return `${inUnit(result, result.value)} ±${half}`;
};

/** `+3.8 %`, `−1.20 points` for fractions, `0.26×` for sizes. */
export const formatChange = (before: MetricResult, after: MetricResult): string => {
  const sign = (value: number): string => (value < 0 ? '−' : '+');
  if (after.unit === 'bytes') return before.value > 0 ? `${formatNumber(after.value / before.value, 3)}×` : '';
  if (isFraction(after)) {
    const points = (after.value - before.value) * (after.unit === '%' ? 1 : 100);
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
