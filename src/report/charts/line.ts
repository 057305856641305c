import { area, line } from 'd3-shape';
import { html, type Markup } from '../html/markup.ts';
import { type AxisWords, axisOf, horizontalAxis, type Plot, pixel, verticalAxis } from './axes.ts';
import { figure, legend } from './figure.ts';

export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [number, number])[];
  readonly shape: 'line' | 'dots' | 'area';
  readonly colour: number;
}

export interface LineChart {
  readonly title: string;
  readonly description: string;
  readonly x: AxisWords;
  readonly y: AxisWords;
  readonly series: readonly Series[];
  /** Horizontal lines with a name, such as limits. */
  readonly limits?: readonly { readonly name: string; readonly value: number }[];
  readonly fromZero?: boolean;
}

const size = { width: 720, height: 260 };
const plot: Plot = { left: 64, right: 700, top: 28, bottom: 210 };

/** Courses of numbers: losses over steps, memory over time. */
export const lineChart = ({ title, description, x, y, series, limits = [], fromZero = false }: LineChart): Markup => {
  const points = series.flatMap((one) => [...one.points]).filter((point) => point.every(Number.isFinite));
  const across = axisOf({
    values: points.map(([value]) => value),
    range: [plot.left, plot.right],
    count: 8,
    fromZero: true,
  });
  const up = axisOf({
    values: [...points.map(([, value]) => value), ...limits.map(({ value }) => value)],
    range: [plot.bottom, plot.top],
    count: 5,
    fromZero,
  });
  const place = ([a, b]: readonly [number, number]): [number, number] => [across(a), up(b)];
  const shapes = series.map((one) => {
    const finite = one.points.filter((point) => point.every(Number.isFinite));
    if (one.shape === 'dots')
      return finite.map((point) => {
        const [cx, cy] = place(point).map(pixel);
        return html`<circle class="c${one.colour}" cx="${cx}" cy="${cy}" r="3.5"><title>${x.word(point[0])}: ${y.word(point[1])}</title></circle>`;
      });
    const path = line()(finite.map(place)) ?? '';
    const below = one.shape === 'area' ? (area().y0(plot.bottom)(finite.map(place)) ?? '') : '';
    return html`${below && html`<path class="area c${one.colour}" d="${below}"/>`}<path class="line c${one.colour}" d="${path}"/>`;
  });
  const bounds = limits.map(({ name, value }) => {
    const height = pixel(up(value));
    return html`<line class="limit" x1="${plot.left}" x2="${plot.right}" y1="${height}" y2="${height}"/><text class="limit" x="${plot.right}" y="${height}" dy="-4" text-anchor="end">${name}</text>`;
  });
  return figure(
    { title, description, ...size },
    [verticalAxis(up, plot, y), horizontalAxis(across, plot, x), shapes, bounds],
    series.length > 1 && legend(series),
  );
};
