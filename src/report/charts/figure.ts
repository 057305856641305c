import { type Content, html, type Markup } from '../html/markup.ts';

export interface FigureFacts {
  readonly title: string;
  /** What the picture shows, in a sentence, for those who do not see it. */
  readonly description: string;
  readonly width: number;
  readonly height: number;
}

/** `Errors of sites` → `errors-of-sites`. */
const slug = (title: string): string => title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-');

/** A picture with its title, which no other picture of the page has. `content` is SVG inside a box of `width` × `height`. */
export const figure = (
  { title, description, width, height }: FigureFacts,
  content: Content,
  below?: Content,
): Markup => {
  const id = `figure-${slug(title)}`;
  return html`<figure>
<figcaption id="${id}">${title}</figcaption>
<svg viewBox="0 0 ${width} ${height}" role="img" aria-labelledby="${id}" aria-description="${description}">
<desc>${description}</desc>
${content}
</svg>
${below}
</figure>
`;
};

/** What the colours of a picture mean. */
export const legend = (entries: readonly { readonly name: string; readonly colour: number }[]): Markup =>
  html`<ul class="legend">${entries.map(({ name, colour }) => html`<li><span class="swatch c${colour}" aria-hidden="true"></span>${name}</li>`)}</ul>`;
