import { html, type Markup } from '../html/markup.ts';
import type { LayerGrid } from '../layers.ts';

/** How a cell is shown: a few characters, how much colour (0 to 1), and the whole value. */
export interface Heat {
  readonly text: string;
  readonly share: number;
  readonly words: string;
}

/** A table of layers and roles whose cells are the more coloured the greater their share. */
export const heatTable = <Item extends { readonly name: string }>(
  caption: string,
  { layers, rows }: LayerGrid<Item>,
  heat: (item: Item) => Heat,
): Markup =>
  html`<div class="scroll" tabindex="0" role="group" aria-label="${caption}"><table class="heat">
<caption>${caption}</caption>
<thead><tr><th scope="col">layer</th>${layers.map((layer) => html`<th scope="col" class="number">${layer}</th>`)}</tr></thead>
<tbody>${rows.map(
    ({ role, cells }) =>
      html`<tr><th scope="row">${role}</th>${cells.map((item) => {
        if (!item) return html`<td></td>`;
        const { text, share, words } = heat(item);
        return html`<td class="number" style="--share:${Math.round(share * 100)}%" title="${words}">${text}</td>`;
      })}</tr>`,
  )}</tbody>
</table></div>
`;
