import { meanBits } from '../facts.ts';
import { html, type Markup } from '../html/markup.ts';
import { table } from '../html/table.ts';
import { layerGrid } from '../layers.ts';
import { formatNumber } from '../numbers.ts';
import type { ReportArtifact, RunReport } from '../schema.ts';
import { heatTable } from './heat-table.ts';

type Weight = ReportArtifact['weights'][number];

/** Bits that take no colour: more is as it was. */
const fullBits = 16;

const words = ({ name, bits, groupSize, method, form }: Weight): string =>
  `${name}: ${bits} bits${groupSize > 0 ? ` in groups of ${groupSize}` : ''}, ${method}, ${form}`;

const isMatrix = ({ shape }: Weight): boolean => shape.length > 1;

const weightTable = (caption: string, weights: readonly Weight[]): Markup =>
  table(
    caption,
    [
      { title: 'weight' },
      { title: 'shape', align: 'right' },
      { title: 'bits', align: 'right' },
      { title: 'group', align: 'right' },
      { title: 'method' },
      { title: 'read by' },
    ],
    weights.map(({ name, shape, bits, groupSize, method, form }) => [
      name,
      shape.join(' × '),
      String(bits),
      groupSize > 0 ? String(groupSize) : '',
      method,
      form,
    ]),
  );

const ofArtifact = (artifact: ReportArtifact): Markup => {
  const weights = artifact.weights.filter(isMatrix);
  const grid = layerGrid(weights);
  const bits = (weight: Weight) => ({
    text: String(weight.bits),
    share: 1 - Math.min(fullBits, weight.bits) / fullBits,
    words: words(weight),
  });
  const all = weightTable(`Weights of ${artifact.format}`, weights);
  return html`<h3>${artifact.format}: ${formatNumber(meanBits(artifact), 3)} bits a weight on average</h3>
${grid ? heatTable(`Bits by layer, ${artifact.format}`, grid, bits) : all}${
  grid && grid.rest.length > 0 && weightTable(`Weights outside of layers, ${artifact.format}`, grid.rest)
}${grid && html`<details><summary>All ${weights.length} weights</summary>${all}</details>`}`;
};

/** Bits of every weight, by layer where there are layers. */
export const weights = ({ artifacts }: RunReport): Markup =>
  html`${artifacts.filter(({ weights: list }) => list.some(isMatrix)).map(ofArtifact)}`;
