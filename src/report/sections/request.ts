import { html, type Markup } from '../html/markup.ts';
import { table } from '../html/table.ts';
import type { RunReport } from '../schema.ts';

/** The command that makes the same again. */
export const reproduceCommand = ({ recipe }: Pick<RunReport, 'recipe'>): string =>
  `compress run ${recipe === undefined ? 'recipe.yaml' : /\s/.test(recipe) ? `'${recipe}'` : recipe}`;

/** The recipe, the data, and how to make the same again. */
export const request = (report: RunReport): Markup =>
  html`<pre tabindex="0" role="group" aria-label="The recipe"><code>${report.recipeText.trimEnd()}</code></pre>
${
  report.data.length > 0 &&
  table(
    'Data',
    [{ title: 'name' }, { title: 'used for' }, { title: 'samples', align: 'right' }, { title: 'description' }],
    report.data.map(({ name, use, samples, description }) => [name, use, String(samples), description]),
  )
}<p>The same model, recipe and data with modelpress ${report.version} and seed ${report.seed} give the same bytes again${report.recipe === undefined ? ' (save the text above as recipe.yaml)' : ''}:</p>
<pre><code>${reproduceCommand(report)}</code></pre>
`;
