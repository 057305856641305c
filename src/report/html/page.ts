import { warningsOf } from '../facts.ts';
import type { RunReport } from '../schema.ts';
import { course } from '../sections/course.ts';
import { overview } from '../sections/overview.ts';
import { quality } from '../sections/quality.ts';
import { request } from '../sections/request.ts';
import { sizes } from '../sections/sizes.ts';
import { stages } from '../sections/stages.ts';
import { weights } from '../sections/weights.ts';
import { htmlDocument } from './document.ts';
import { html, type Markup } from './markup.ts';

const warnings = (report: RunReport): Markup => {
  const list = warningsOf(report);
  if (list.length === 0) return html`<p>None.</p>`;
  return html`<ul class="findings">${list.map(
    ({ from, text, site }) => html`<li><strong>${from}:</strong> ${site && html`<code>${site}</code>: `}${text}</li>`,
  )}</ul>`;
};

/** A run as one page that needs nothing else: no network, no script. */
export const reportPage = (report: RunReport): string => {
  const { model, version, seed, recipe } = report;
  const chain = report.stages.map(({ stage }) => stage).join(' → ') || 'no stage';
  const formats = report.artifacts.map(({ format }) => format).join(', ');
  return htmlDocument({
    title: `${model.name}: ${chain}`,
    lead: `${model.family ? `${model.family} model, ` : ''}${model.content.parameters.toLocaleString('en')} parameters; written as ${formats}; ${recipe ? `recipe ${recipe}, ` : ''}seed ${seed}, modelpress ${version}`,
    overview: overview(report),
    sections: [
      { id: 'quality', title: 'Quality', content: quality(report) },
      { id: 'size', title: 'Size', content: sizes(report) },
      { id: 'weights', title: 'Bits of the weights', content: weights(report) },
      { id: 'stages', title: 'Stages', content: stages(report) },
      { id: 'warnings', title: 'Warnings', content: warnings(report) },
      { id: 'course', title: 'How the run went', content: report.course ? course(report.course) : html`` },
      { id: 'recipe', title: 'What was asked, and how to do it again', content: request(report) },
    ],
    data: report,
    version,
  });
};
