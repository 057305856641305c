import { type Content, html, type Markup } from './markup.ts';

export interface TableColumn {
  readonly title: Content;
  readonly align?: 'left' | 'right';
}

/** A table with a caption; the first cell of a row names it. */
export const table = (
  caption: string,
  columns: readonly TableColumn[],
  rows: readonly (readonly Content[])[],
): Markup => {
  const side = (index: number): Content => (columns[index]?.align === 'right' ? html` class="number"` : '');
  return html`<div class="scroll" tabindex="0" role="group" aria-label="${caption}"><table>
<caption>${caption}</caption>
<thead><tr>${columns.map(({ title }, index) => html`<th scope="col"${side(index)}>${title}</th>`)}</tr></thead>
<tbody>${rows.map(
    (cells) =>
      html`<tr>${cells.map((cell, index) =>
        index === 0 ? html`<th scope="row">${cell}</th>` : html`<td${side(index)}>${cell}</td>`,
      )}</tr>`,
  )}</tbody>
</table></div>
`;
};
