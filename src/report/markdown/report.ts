import { warningsOf } from '../facts.ts';
import type { RunReport } from '../schema.ts';
import { reproduceCommand } from '../sections/request.ts';
import { codeBlock, gatesMarkdown, metricsMarkdown, paragraphs } from './summary.ts';

/** A run as Markdown: what was measured, the gates, every warning, the recipe. */
export const reportMarkdown = (report: RunReport): string => {
  const warnings = warningsOf(report);
  const chain = report.stages.map(({ stage }) => stage).join(' → ') || 'no stage';
  return paragraphs([
    `# ${report.model.name}: ${chain}`,
    report.outcome === 'done' ? '✅ done' : '❌ a quality gate failed',
    metricsMarkdown(report),
    report.gates.length > 0 && '## Gates',
    report.gates.length > 0 && gatesMarkdown(report.gates),
    warnings.length > 0 && '## Warnings',
    warnings.map(({ from, text, site }) => `- **${from}**: ${site ? `\`${site}\`: ` : ''}${text}`).join('\n'),
    '## Recipe',
    codeBlock(report.recipeText, 'yaml'),
    `Made by modelpress ${report.version} with seed ${report.seed}; \`${reproduceCommand(report)}\` makes it again.`,
  ]);
};
