import { type Content, embeddedJson, html, Markup } from './markup.ts';
import { styleSheet } from './style.ts';

export interface Section {
  readonly id: string;
  readonly title: string;
  readonly content: Content;
}

export interface Document {
  readonly title: string;
  readonly lead: Content;
  /** What stands above the sections. */
  readonly overview: Content;
  readonly sections: readonly Section[];
  /** The same as JSON, for programs. */
  readonly data: unknown;
  readonly version: string;
}

/** A whole page in one file. Its policy forbids loading anything. */
export const htmlDocument = ({ title, lead, overview, sections, data, version }: Document): string => {
  const filled = sections.filter(({ content }) => !(content instanceof Markup && content.text.trim() === ''));
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="generator" content="modelpress ${version}">
<title>${title}</title>
<style>${new Markup(styleSheet)}</style>
</head>
<body>
<header>
<h1>${title}</h1>
<p class="lead">${lead}</p>
${overview}
<nav aria-label="Parts of this report"><ul>${filled.map(({ id, title: name }) => html`<li><a href="#${id}">${name}</a></li>`)}</ul></nav>
</header>
<main>
${filled.map(({ id, title: name, content }) => html`<section aria-labelledby="${id}"><h2 id="${id}">${name}</h2>${content}</section>`)}
</main>
<footer>Written by modelpress ${version}. The same facts as JSON are in this file, in the element <code>script#report</code>.</footer>
<script type="application/json" id="report">${embeddedJson(data)}</script>
</body>
</html>
`.text;
};
