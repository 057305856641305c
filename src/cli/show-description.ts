import type { GraphDescription, ModelDescription, Tally } from '../artifact/describe/description.ts';
import type { Manifest } from '../artifact/manifest-schema.ts';
import type { MetricResult } from '../recipe/events.ts';
import { formatBytes } from '../recipe/quantity.ts';
import { formatResult } from '../report/numbers.ts';
import { printable, type Style } from '../reporters/style.ts';
import { formatTable } from '../reporters/table.ts';
import type { PathDescription } from './description.ts';

/** `260.0 k`, `1.24 M`: counts of parameters. */
const formatCount = (count: number): string => {
  if (count < 1000) return String(count);
  const [divisor, unit] = count < 1e6 ? [1e3, 'k'] : count < 1e9 ? [1e6, 'M'] : [1e9, 'G'];
  return `${(count / divisor).toPrecision(4)} ${unit}`;
};

const tallyTable = (title: string, tallies: Readonly<Partial<Record<string, Tally>>>, style: Style): string =>
  formatTable(
    [
      { title },
      { title: 'tensors', align: 'right' },
      { title: 'elements', align: 'right' },
      { title: 'bytes', align: 'right' },
    ],
    Object.entries(tallies).flatMap(([name, tally]) =>
      tally ? [[name, String(tally.tensors), formatCount(tally.elements), formatBytes(tally.bytes)]] : [],
    ),
    style,
  );

const mostOperators = 12;

const operatorsText = ({ operators }: GraphDescription): string => {
  const shown = operators.slice(0, mostOperators).map(({ operator, count }) => `${count} × ${printable(operator)}`);
  const rest = operators.length - shown.length;
  return `${shown.join(', ')}${rest > 0 ? `, and ${rest} more kinds` : ''}`;
};

/** Quantized weights by what reads them, how wide and in what groups. */
const quantizedText = ({ quantizedWeights, quantizedActivations }: GraphDescription): string[] => {
  const kinds = new Map<string, { count: number; elements: number }>();
  for (const { form, bits, blockSize, elements } of quantizedWeights) {
    const kind = `${bits} bits${blockSize > 0 ? ` in groups of ${blockSize}` : ''} by ${form}`;
    const known = kinds.get(kind) ?? { count: 0, elements: 0 };
    kinds.set(kind, { count: known.count + 1, elements: known.elements + elements });
  }
  return [
    ...[...kinds].map(
      ([kind, { count, elements }]) => `quantized   ${count} weights (${formatCount(elements)}): ${kind}`,
    ),
    ...(quantizedActivations > 0 ? [`activations ${quantizedActivations} quantized`] : []),
  ];
};

const graphText = (graph: GraphDescription): string[] => {
  const values = (title: string, list: GraphDescription['inputs']): string[] =>
    list.map(({ name, dtype, shape }) => `${title} ${printable(name)}: ${dtype ?? '?'} ${printable(shape)}`);
  return [
    `opsets      ${graph.opsets.map(({ domain, version }) => `${domain === '' ? 'standard' : domain} ${version}`).join(', ')} (IR ${graph.irVersion}${graph.producer ? `, by ${printable(graph.producer)}` : ''})`,
    ...values('input      ', graph.inputs),
    ...values('output     ', graph.outputs),
    `parameters  ${formatCount(graph.parameters)}`,
    ...quantizedText(graph),
    `operators   ${operatorsText(graph)}${graph.subgraphs > 0 ? `; ${graph.subgraphs} bodies` : ''}`,
  ];
};

const modelText = (model: ModelDescription, style: Style): string => {
  const external = model.files.filter((file) => file.role !== 'companion');
  const head = [
    style.bold(`${model.kind}${model.family ? ` (${model.family})` : ''}, ${formatBytes(model.bytes)}`),
    ...external.map((file) => `file        ${printable(file.path)} (${file.role}, ${formatBytes(file.bytes)})`),
    ...(model.graph ? graphText(model.graph) : []),
    ...(model.note ? [`note        ${printable(model.note)}`] : []),
  ];
  const tables = [
    ...(model.graph ? [tallyTable('part', model.graph.byPart, style)] : []),
    tallyTable('type', model.byDataType, style),
  ];
  return [head.join('\n'), ...tables].join('\n\n');
};

const measuredText = ({ model, format, value, interval, better, ...facts }: Manifest['metrics'][number]): string => {
  const result: MetricResult = {
    metric: facts.metric,
    dataset: facts.dataset,
    value: value ?? Number.NaN,
    count: facts.count,
    ...(interval === undefined ? {} : { interval }),
    ...(facts.unit === undefined ? {} : { unit: facts.unit }),
    ...(better === undefined ? {} : { better }),
  };
  const data = facts.dataset ? ` on ${printable(facts.dataset)}` : '';
  return `measured    ${model}${format ? ` ${format}` : ''}: ${printable(facts.metric)}${data} ${formatResult(result)}`;
};

const manifestText = (manifest: Manifest): string =>
  [
    `made by     ${manifest.tool.name} ${manifest.tool.version}`,
    ...manifest.metrics.map(measuredText),
    ...manifest.findings
      .filter(({ kind }) => kind !== 'fact')
      .map(({ kind, text }) => `${kind.padEnd(11)} ${printable(text)}`),
  ].join('\n');

/** Words for what was found at a path. */
export const descriptionText = (found: PathDescription, path: string, style: Style): string => {
  const { verification } = found;
  const verdict =
    verification &&
    (verification.ok
      ? style.good('every file is as the manifest says')
      : [style.bad('files differ from the manifest:'), ...verification.problems.map(printable)].join('\n'));
  return [
    style.bold(printable(path)),
    ...found.models.map((model) => modelText(model, style)),
    ...(found.manifest ? [manifestText(found.manifest)] : []),
    ...(verdict ? [verdict] : []),
  ].join('\n\n');
};
