import { html, type Markup } from '../html/markup.ts';
import { type AxisWords, axisOf, horizontalAxis, type Plot, pixel } from './axes.ts';
import { figure, legend } from './figure.ts';

/** A part of a bar, from one value to another. */
export interface Segment {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly colour: number;
  /** What is shown of it where the pointer rests. */
  readonly words: string;
}

export interface BarRow {
  readonly label: string;
  readonly segments: readonly Segment[];
  /** What stands at its end. */
  readonly end?: string;
}

export interface BarChart {
  readonly title: string;
  readonly description: string;
  readonly x: AxisWords;
  readonly rows: readonly BarRow[];
  readonly legend?: readonly { readonly name: string; readonly colour: number }[];
}

const width = 720;
const longestLabel = 40;
const letterWidth = 7.3;

const shortened = (label: string): string =>
  label.length > longestLabel ? `…${label.slice(label.length - longestLabel + 1)}` : label;

/** Bars that lie below each other: sizes by part, times of steps, errors that add up. */
export const barChart = ({ title, description, x, rows, legend: entries = [] }: BarChart): Markup => {
  const dense = rows.length > 12;
  const rowHeight = dense ? 17 : 28;
  const barHeight = dense ? 12 : 18;
  const labels = rows.map((row) => shortened(row.label));
  const left = Math.max(60, 14 + letterWidth * Math.max(...labels.map((label) => label.length)));
  const endWidth = 10 + letterWidth * Math.max(0, ...rows.map((row) => row.end?.length ?? 0));
  const plot: Plot = { left, right: width - endWidth, top: 8, bottom: 8 + rows.length * rowHeight };
  const across = axisOf({
    values: rows.flatMap((row) => row.segments.flatMap(({ from, to }) => [from, to])),
    range: [plot.left, plot.right],
    count: 6,
    fromZero: true,
  });
  const drawn = rows.map((row, index) => {
    const y = plot.top + index * rowHeight;
    const middle = pixel(y + rowHeight / 2);
    const furthest = Math.max(...row.segments.map(({ to }) => to), 0);
    return html`<text x="${pixel(plot.left - 8)}" y="${middle}" dy="0.32em" text-anchor="end">${labels[index]}</text>${row.segments.map(
      ({ from, to, colour, name, words }) =>
        html`<rect class="c${colour}" x="${pixel(across(from))}" y="${pixel(y + (rowHeight - barHeight) / 2)}" width="${pixel(Math.max(0.75, across(to) - across(from)))}" height="${barHeight}"><title>${name}: ${words}</title></rect>`,
    )}${row.end !== undefined && html`<text x="${pixel(across(furthest) + 6)}" y="${middle}" dy="0.32em">${row.end}</text>`}`;
  });
  return figure(
    { title, description, width, height: plot.bottom + 42 },
    [horizontalAxis(across, plot, x), drawn],
    entries.length > 0 && legend(entries),
  );
};
