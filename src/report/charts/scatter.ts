import { html, type Markup } from '../html/markup.ts';
import { type AxisWords, axisOf, horizontalAxis, type Plot, pixel, verticalAxis } from './axes.ts';
import { figure } from './figure.ts';

export interface ScatterPoint {
  readonly label: string;
  readonly x: number;
  readonly y: number;
  /** Half width of the confidence interval of y. */
  readonly half?: number;
  /** What the others are compared with. */
  readonly reference?: boolean;
}

export interface ScatterChart {
  readonly title: string;
  readonly description: string;
  readonly x: AxisWords;
  readonly y: AxisWords;
  readonly better: 'lower' | 'higher';
  readonly points: readonly ScatterPoint[];
}

const size = { width: 720, height: 320 };
const plot: Plot = { left: 72, right: 690, top: 28, bottom: 268 };
const labelHeight = 15;

/** Points that no other one beats in both directions (small x, good y), from left to right. */
export const front = (points: readonly ScatterPoint[], better: 'lower' | 'higher'): ScatterPoint[] => {
  const beats = (a: number, b: number): boolean => (better === 'lower' ? a < b : a > b);
  const sorted = [...points].sort((a, b) => a.x - b.x || (beats(a.y, b.y) ? -1 : 1));
  const kept: ScatterPoint[] = [];
  for (const point of sorted) if (kept.every((other) => beats(point.y, other.y))) kept.push(point);
  return kept;
};

/** Heights of labels that do not lie on each other, in the order of the points. */
const spread = (heights: readonly number[]): number[] => {
  const order = heights.map((height, index) => ({ height, index })).sort((a, b) => a.height - b.height);
  const placed: number[] = [];
  let last = Number.NEGATIVE_INFINITY;
  for (const { height, index } of order) {
    last = Math.max(height, last + labelHeight);
    placed[index] = last;
  }
  return placed;
};

/** Size against quality: points with their intervals, and the front of those that are not beaten. */
export const scatterChart = ({ title, description, x, y, better, points }: ScatterChart): Markup => {
  const across = axisOf({ values: points.map((point) => point.x), range: [plot.left + 8, plot.right - 8], count: 7 });
  const up = axisOf({
    values: points.flatMap(({ y: value, half = 0 }) => [value - half, value + half]),
    range: [plot.bottom - 8, plot.top + 8],
    count: 6,
  });
  const steps = front(points, better).map((point) => `${pixel(across(point.x))},${pixel(up(point.y))}`);
  const middle = (plot.left + plot.right) / 2;
  const rightward = points.map((point) => across(point.x) < middle);
  const labels = points.map((): number => 0);
  for (const side of [true, false]) {
    const indices = points.flatMap((_, index) => (rightward[index] === side ? [index] : []));
    const heights = spread(indices.map((index) => up(points[index]?.y ?? 0)));
    indices.forEach((index, position) => {
      labels[index] = heights[position] ?? 0;
    });
  }
  const marks = points.map((point, index) => {
    const [cx, cy] = [pixel(across(point.x)), pixel(up(point.y))];
    const { half = 0 } = point;
    const side = rightward[index] ? 1 : -1;
    const whisker =
      half > 0 &&
      html`<line class="whisker" x1="${cx}" x2="${cx}" y1="${pixel(up(point.y - half))}" y2="${pixel(up(point.y + half))}"/>`;
    return html`${whisker}<circle class="${point.reference ? 'reference' : 'c0'}" cx="${cx}" cy="${cy}" r="5"><title>${point.label}: ${x.word(point.x)}, ${y.word(point.y)}</title></circle><text x="${pixel(across(point.x) + side * 10)}" y="${pixel(labels[index] ?? 0)}" dy="0.32em" text-anchor="${side > 0 ? 'start' : 'end'}">${point.label}</text>`;
  });
  return figure({ title, description, ...size }, [
    verticalAxis(up, plot, y),
    horizontalAxis(across, plot, x),
    steps.length > 1 && html`<polyline class="front" points="${steps.join(' ')}"/>`,
    marks,
  ]);
};
