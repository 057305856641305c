import { configOfLayers, layerNumber, renumbered } from '../../analysis/layer-numbers.ts';
import { CompressError } from '../../errors.ts';
import { cloneProgram } from '../../ir/clone.ts';
import { removeDead } from '../../ir/edit/remove-dead.ts';
import { replaceAllUses } from '../../ir/edit/replace.ts';
import type { Graph, Value } from '../../ir/graph.ts';
import { blockKey, type Model } from '../../ir/model.ts';
import { layerStates } from '../../training/layers.ts';

const isKept = (value: Value, kept: ReadonlySet<number>): boolean => {
  const layer = layerNumber(value.name);
  return layer === undefined || kept.has(layer);
};

const keepOnly = (values: Value[], kept: ReadonlySet<number>): void => {
  const stay = values.filter((value) => isKept(value, kept));
  values.splice(0, values.length, ...stay);
};

const renameAll = (graph: Graph, numbers: ReadonlyMap<number, number>): void => {
  const values = new Set<Value>([...graph.inputs, ...graph.initializers]);
  for (const node of graph.nodes) {
    node.name = renumbered(node.name, numbers);
    const block = node.metadata.get(blockKey);
    const number = block === undefined ? undefined : numbers.get(Number(block));
    if (number !== undefined) node.metadata.set(blockKey, String(number));
    for (const value of node.outputs) if (value) values.add(value);
  }
  for (const value of values) value.name = renumbered(value.name, numbers);
};

/**
 * A copy of a model with some of its layers only: what flows into a dropped layer flows on past it. Layers, caches and
 * the configuration are numbered anew.
 * @throws 'unsupported' for graphs without numbered layers, 'usage' for numbers that are no layers or out of order.
 */
export const dropLayers = (model: Model, kept: readonly number[]): Model => {
  const program = cloneProgram(model.program);
  const states = layerStates(program);
  if (states.length === 0)
    throw new CompressError({
      code: 'unsupported',
      message: 'the layers of this graph are not known, so none can be left out',
      where: { key: 'layers' },
      hint: 'Start from a checkpoint folder: its family numbers the layers.',
    });
  const bad = kept.find((layer, index) => layer >= states.length || (index > 0 && layer <= kept[index - 1]!));
  if (bad !== undefined)
    throw new CompressError({
      code: 'usage',
      message: `${bad} is no layer here, or out of order: the model has layers 0 to ${states.length - 1}`,
      where: { key: 'layers' },
      hint: 'Name layers in ascending order, such as [0, 2, 4].',
    });
  const { graph } = program;
  const keptSet = new Set(kept);
  const flow = new Map<Value, Value>();
  for (const { number, input, output } of states) {
    if (keptSet.has(number)) continue;
    const source = flow.get(input) ?? input;
    flow.set(output, source);
    replaceAllUses(output, source, { graph });
  }
  keepOnly(graph.outputs, keptSet);
  removeDead(graph);
  keepOnly(graph.inputs, keptSet);
  renameAll(graph, new Map(kept.map((layer, index) => [layer, index])));
  return { ...model, program, config: configOfLayers(model.config, kept, states.length) };
};
