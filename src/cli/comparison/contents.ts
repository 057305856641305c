import { resolve } from 'node:path';
import type { ModelDescription } from '../../artifact/describe/description.ts';
import { describeModel } from '../../artifact/describe.ts';
import { formatBytes } from '../../recipe/quantity.ts';
import { formatNumber } from '../../report/numbers.ts';
import { printable, type Style } from '../../reporters/style.ts';
import { formatTable } from '../../reporters/table.ts';
import type { ComparisonSection } from './section.ts';

interface Difference {
  readonly name: string;
  readonly a: number;
  readonly b: number;
}

/** Numbers of both by name: those of a first, in its order. */
const side = (a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): Difference[] =>
  [...new Set([...a.keys(), ...b.keys()])].map((name) => ({ name, a: a.get(name) ?? 0, b: b.get(name) ?? 0 }));

const partsOf = ({ graph }: ModelDescription): Map<string, number> =>
  new Map(Object.entries(graph?.byPart ?? {}).map(([part, tally]) => [part, tally.bytes]));

const operatorsOf = ({ graph }: ModelDescription): Map<string, number> =>
  new Map(graph?.operators.map(({ operator, count }) => [operator, count]) ?? []);

/** Weights by how wide they are and what reads them. */
const weightsOf = ({ graph }: ModelDescription): Map<string, number> => {
  const kinds = new Map<string, number>();
  for (const { bits, blockSize, form } of graph?.quantizedWeights ?? []) {
    const kind = `${bits} bits${blockSize > 0 ? ` in groups of ${blockSize}` : ''} by ${form}`;
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  }
  return kinds;
};

const valuesOf = ({ graph }: ModelDescription): string[] =>
  [...(graph?.inputs ?? []), ...(graph?.outputs ?? [])].map(
    ({ name, dtype, shape }) => `${name}: ${dtype ?? '?'} ${shape}`,
  );

const tableOf = (title: string, rows: readonly Difference[], style: Style, word: (value: number) => string): string =>
  formatTable(
    [{ title }, { title: 'a', align: 'right' }, { title: 'b', align: 'right' }, { title: 'b / a', align: 'right' }],
    rows.map(({ name, a, b }) => [printable(name), word(a), word(b), a > 0 ? `${formatNumber(b / a, 3)}×` : '']),
    style,
  );

/** What the two graphs are made of: bytes by part, operators, quantized weights, inputs and outputs. */
export const contents: ComparisonSection = {
  name: 'contents',
  async compare({ a, b, runs }, { io }) {
    if (runs?.some(({ report }) => report.artifacts.length > 1)) return undefined;
    const first = await describeModel(resolve(io.directory, a));
    const second = await describeModel(resolve(io.directory, b));
    if (!first.graph || !second.graph) return undefined;
    const parts = side(partsOf(first), partsOf(second));
    const operators = side(operatorsOf(first), operatorsOf(second)).filter((row) => row.a !== row.b);
    const quantized = side(weightsOf(first), weightsOf(second)).filter((row) => row.a !== row.b);
    const [own, other] = [valuesOf(first), valuesOf(second)];
    const interfaces = {
      a: own.filter((value) => !other.includes(value)),
      b: other.filter((value) => !own.includes(value)),
    };
    const parameters = { a: first.graph.parameters, b: second.graph.parameters };
    const whole = (value: number): string => value.toLocaleString('en');
    return {
      data: { parameters, parts, operators, quantized, interfaces },
      text: (style) =>
        [
          tableOf('bytes of part', parts, style, formatBytes),
          tableOf('count', [{ name: 'parameters', ...parameters }, ...operators, ...quantized], style, whole),
          ...interfaces.a.map((value) => `only in a: ${printable(value)}`),
          ...interfaces.b.map((value) => `only in b: ${printable(value)}`),
        ].join('\n\n'),
    };
  },
};
