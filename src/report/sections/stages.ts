import { type Content, html, type Markup } from '../html/markup.ts';
import type { ReportStage, RunReport } from '../schema.ts';
import { errors } from './errors.ts';
import { training } from './training.ts';

const findings = ({ findings: list }: Pick<ReportStage, 'findings'>): Content =>
  list.length > 0 &&
  html`<ul class="findings">${list.map(
    ({ kind, text, site }) =>
      html`<li class="${kind === 'fact' ? '' : 'warn'}">${kind === 'fact' ? '' : html`<strong>${kind}:</strong> `}${site && html`<code>${site}</code>: `}${text}</li>`,
  )}</ul>`;

/** What each stage did, found and lost. */
export const stages = (report: RunReport): Markup =>
  html`${report.stages.map((stage, index) => {
    const title = report.stages.length > 1 ? `${index + 1} ${stage.stage}` : stage.stage;
    return html`<h3>${title}</h3>${findings(stage)}${training(stage, title)}${errors(stage, title)}`;
  })}${report.artifacts.map(
    (artifact) => artifact.findings.length > 0 && html`<h3>write ${artifact.format}</h3>${findings(artifact)}`,
  )}`;
