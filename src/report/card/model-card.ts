import { stringify } from 'yaml';
import { formatBytes } from '../../recipe/quantity.ts';
import { meanBits, measuredOf, metricWords, sizeBefore, warningsOf } from '../facts.ts';
import { codeBlock, gatesMarkdown, metricsMarkdown, paragraphs } from '../markdown/summary.ts';
import { markdownTable } from '../markdown/table.ts';
import { formatNumber } from '../numbers.ts';
import type { ReportArtifact, RunReport } from '../schema.ts';
import type { ModelOrigin } from './source-card.ts';

/** Tasks of the hub by the ends of the names of architectures. */
const tasks: readonly (readonly [RegExp, string])[] = [
  [/ForCausalLM$|LMHeadModel$/, 'text-generation'],
  [/ForMaskedLM$/, 'fill-mask'],
  [/ForSequenceClassification$/, 'text-classification'],
  [/ForTokenClassification$/, 'token-classification'],
  [/ForQuestionAnswering$/, 'question-answering'],
  [/ForImageClassification$/, 'image-classification'],
  [/^(Bert|Roberta|XLMRoberta|Camembert|DistilBert)Model$/, 'feature-extraction'],
];

const taskOf = (config: Readonly<Record<string, unknown>> | undefined): string | undefined => {
  const [architecture] = Array.isArray(config?.architectures) ? config.architectures : [];
  return typeof architecture === 'string' ? tasks.find(([pattern]) => pattern.test(architecture))?.[1] : undefined;
};

/** What loads each format, as the hub calls it. */
const libraryOf = (format: string): string => {
  if (format === 'transformersjs') return 'transformers.js';
  return format.startsWith('onnx') ? 'onnx' : 'transformers';
};

const quantizedBits = ({ weights }: ReportArtifact): number[] =>
  [...new Set(weights.filter(({ method }) => method !== 'none').map(({ bits }) => bits))].sort((a, b) => a - b);

const relationOf = (report: RunReport): 'quantized' | 'finetune' =>
  report.stages.some(({ stage }) => stage === 'quantize') ? 'quantized' : 'finetune';

const frontMatter = (report: RunReport, artifact: ReportArtifact, facts: CardFacts): Record<string, unknown> => {
  const { repository, license, languages } = facts.origin;
  const task = taskOf(facts.config);
  const metrics = [...new Set(report.metrics.after.map(({ result }) => result.metric))].filter(
    (metric) => metric !== 'size' && metric !== 'latency',
  );
  return {
    ...(languages.length > 0 ? { language: languages } : {}),
    ...(license === undefined ? {} : { license }),
    ...(repository === undefined ? {} : { base_model: repository, base_model_relation: relationOf(report) }),
    library_name: libraryOf(artifact.format),
    ...(task === undefined ? {} : { pipeline_tag: task }),
    tags: [
      'modelpress',
      ...(libraryOf(artifact.format) === 'transformers' ? [] : ['onnx']),
      ...new Set(report.stages.map(({ stage }) => stage)),
      ...quantizedBits(artifact).map((bits) => `${bits}-bit`),
    ],
    ...(metrics.length > 0 ? { metrics } : {}),
  };
};

/** Weights by how they are stored. */
const storageTable = ({ weights }: ReportArtifact): string => {
  const kinds = new Map<string, { cells: string[]; count: number; elements: number }>();
  for (const { shape, bits, groupSize, method, form } of weights) {
    const key = [bits, groupSize, method, form].join();
    const cells = [String(bits), groupSize > 0 ? String(groupSize) : 'none', method, form];
    const known = kinds.get(key) ?? { cells, count: 0, elements: 0 };
    const elements = shape.reduce((product, length) => product * length, 1);
    kinds.set(key, { cells, count: known.count + 1, elements: known.elements + elements });
  }
  return markdownTable(
    [
      { title: 'bits', align: 'right' },
      { title: 'group', align: 'right' },
      { title: 'method' },
      { title: 'read by' },
      { title: 'weights', align: 'right' },
      { title: 'parameters', align: 'right' },
    ],
    [...kinds.values()].map(({ cells, count, elements }) => [...cells, String(count), elements.toLocaleString('en')]),
  );
};

const usage = (artifact: ReportArtifact, entry: string | undefined, task: string | undefined): string | undefined => {
  if (artifact.format === 'transformersjs')
    return codeBlock(
      `import { pipeline } from '@huggingface/transformers';\n\nconst pipe = await pipeline('${task ?? 'feature-extraction'}', 'path-or-name-of-this-folder');`,
      'js',
    );
  if (!artifact.format.startsWith('onnx') || entry === undefined) return undefined;
  return codeBlock(
    `import * as ort from 'onnxruntime-node';\n\nconst session = await ort.InferenceSession.create('${entry}');`,
    'js',
  );
};

/** What a card says beside the report. */
export interface CardFacts {
  readonly origin: ModelOrigin;
  readonly config: Readonly<Record<string, unknown>> | undefined;
  /** The file to open, relative to the artifact's folder. */
  readonly entry: string | undefined;
}

const ofFormat = (report: RunReport, format: string): RunReport => ({
  ...report,
  metrics: { before: report.metrics.before, after: report.metrics.after.filter((after) => after.format === format) },
  gates: report.gates.filter((gate) => gate.format === format),
});

/** README.md of one artifact: metadata that the Hugging Face hub understands, figures, and how it was made. */
export const modelCard = (report: RunReport, artifact: ReportArtifact, facts: CardFacts): string => {
  const own = ofFormat(report, artifact.format);
  const before = sizeBefore(report);
  const after = measuredOf(report, artifact.format, { metric: 'size', dataset: '' });
  const source = facts.origin.repository
    ? `[${facts.origin.repository}](https://huggingface.co/${facts.origin.repository})`
    : `\`${report.model.name}\``;
  const share =
    before && after
      ? `, ${formatNumber(after.value / before.value, 3)} of the original’s ${formatBytes(before.value)}`
      : '';
  const measured = own.metrics.after.map(({ result }) => metricWords(result)).join(', ');
  const warnings = warningsOf({ ...report, artifacts: [artifact] });
  const howTo = usage(artifact, facts.entry, taskOf(facts.config));
  return paragraphs([
    `---\n${stringify(frontMatter(report, artifact, facts)).trimEnd()}\n---`,
    `# ${report.model.name}, ${report.stages.map(({ stage }) => stage).join(' and ') || 'converted'} (${artifact.format})`,
    `Made from ${source} by modelpress ${report.version}: ${formatBytes(artifact.bytes)}${share}, ${report.model.content.parameters.toLocaleString('en')} parameters before, ${formatNumber(meanBits(artifact), 3)} bits a weight on average.`,
    howTo && '## Use',
    howTo,
    '## Measured',
    `On the files of this folder (${measured}); ± is half of the 95 % confidence interval.`,
    metricsMarkdown(own),
    own.gates.length > 0 && gatesMarkdown(own.gates),
    '## Weights',
    storageTable(artifact),
    warnings.length > 0 && '## Known limits',
    warnings.map(({ text, site }) => `- ${site ? `\`${site}\`: ` : ''}${text}`).join('\n'),
    '## How it was made',
    codeBlock(report.recipeText, 'yaml'),
    `Seed ${report.seed}. \`manifest.json\` lists every file and its BLAKE3, \`report.json\` every figure.`,
  ]);
};
