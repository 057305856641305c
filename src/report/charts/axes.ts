import { scaleLinear, scaleLog } from 'd3-scale';
import { html, type Markup } from '../html/markup.ts';

/** A scale of an axis: linear, or logarithmic where values span decades. */
export interface AxisScale {
  (value: number): number;
  readonly marks: readonly number[];
}

/** Values that span more than this factor are laid out by their logarithms. */
const widestLinear = 30;

const isLogarithmic = (values: readonly number[]): boolean => {
  const low = Math.min(...values);
  return low > 0 && Math.max(...values) / low > widestLinear;
};

export interface AxisOptions {
  readonly values: readonly number[];
  /** Pixels of the smallest and the greatest value. */
  readonly range: readonly [number, number];
  readonly count: number;
  /** The axis begins at zero where it is linear. */
  readonly fromZero?: boolean;
}

/** An axis that holds all values, with round numbers to mark. */
export const axisOf = ({ values, range, count, fromZero = false }: AxisOptions): AxisScale => {
  const finite = values.filter(Number.isFinite);
  const known = finite.length > 0 ? finite : [0, 1];
  const logarithmic = !fromZero && isLogarithmic(known);
  const low = fromZero ? Math.min(0, ...known) : Math.min(...known);
  const high = Math.max(...known);
  const domain = low === high ? [low - Math.abs(low || 1) * 0.05, high + Math.abs(high || 1) * 0.05] : [low, high];
  const scale = (logarithmic ? scaleLog() : scaleLinear()).domain(domain).range(range).nice(count);
  const ticks = scale.ticks(count);
  const step = Math.ceil(ticks.length / (count + 2));
  return Object.assign((value: number): number => scale(value), {
    marks: ticks.filter((_, index) => index % step === 0),
  });
};

export interface Plot {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Two digits after the point are more than a pixel can show. */
export const pixel = (value: number): string => String(Math.round(value * 100) / 100);

export interface AxisWords {
  readonly title: string;
  readonly word: (value: number) => string;
}

/** Lines at the marks of the vertical axis, with their numbers. */
export const verticalAxis = (scale: AxisScale, { left, right, top }: Plot, { title, word }: AxisWords): Markup =>
  html`<g class="axis">${scale.marks.map((mark) => {
    const y = pixel(scale(mark));
    return html`<line x1="${left}" x2="${right}" y1="${y}" y2="${y}"/><text x="${left - 6}" y="${y}" dy="0.32em" text-anchor="end">${word(mark)}</text>`;
  })}<text class="title" x="${left}" y="${top - 10}" text-anchor="start">${title}</text></g>`;

/** Numbers at the marks of the horizontal axis. */
export const horizontalAxis = (scale: AxisScale, { left, right, bottom }: Plot, { title, word }: AxisWords): Markup =>
  html`<g class="axis"><line x1="${left}" x2="${right}" y1="${bottom}" y2="${bottom}"/>${scale.marks.map((mark) => {
    const x = pixel(scale(mark));
    return html`<line class="mark" x1="${x}" x2="${x}" y1="${bottom}" y2="${bottom + 4}"/><text x="${x}" y="${bottom + 17}" text-anchor="middle">${word(mark)}</text>`;
  })}<text class="title" x="${right}" y="${bottom + 33}" text-anchor="end">${title}</text></g>`;
