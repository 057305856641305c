import { findResidualWriters, type ResidualWriter } from '../../../analysis/residual-writers.ts';
import type { Node, Program, Value } from '../../../ir/graph.ts';

/** A part of a network around which its stream can flow: a repeated block, or one branch of a foreign graph. */
export interface ResidualUnit {
  readonly name: string;
  readonly writers: readonly ResidualWriter[];
  /** The stream before and after. */
  readonly input: Value;
  readonly output: Value;
}

/** Whether a value comes from a node through nothing but what a writer's output may pass. */
const comesFrom = (value: Value | undefined, node: Node): boolean => {
  for (let at = value?.producer; at; at = at.inputs.find((input) => input && !input.tensor)?.producer) {
    if (at === node) return true;
    if (!['Add', 'Mul', 'Identity', 'Dropout', 'BatchNormalization'].includes(at.op)) return false;
  }
  return false;
};

/** The stream that a writer is added to. */
export const streamBefore = ({ site, stream }: ResidualWriter): Value | undefined => {
  const [a, b] = stream.producer?.inputs ?? [];
  return comesFrom(a, site.node) ? b : a;
};

/** Units in execution order: writers with the same block number go together, others each by itself. */
export const residualUnits = (program: Program): ResidualUnit[] => {
  const units = new Map<string, ResidualWriter[]>();
  for (const writer of findResidualWriters(program)) {
    const { block, name } = writer.site;
    const key = block === undefined ? `branch of ${name}` : `block ${block}`;
    units.set(key, [...(units.get(key) ?? []), writer]);
  }
  return [...units].flatMap(([name, writers]) => {
    const input = streamBefore(writers[0]!);
    const output = writers.at(-1)!.stream;
    return input ? [{ name, writers, input, output }] : [];
  });
};
