import { type Block, findBlocks } from '../../analysis/blocks.ts';
import { configOfLayers, layerNumber, renumbered } from '../../analysis/layer-numbers.ts';
import { CompressError } from '../../errors.ts';
import { cloneGraph, cloneProgram } from '../../ir/clone.ts';
import { nameSource } from '../../ir/edit/names.ts';
import { removeDead } from '../../ir/edit/remove-dead.ts';
import { replaceAllUses } from '../../ir/edit/replace.ts';
import { type Attribute, type Graph, Node, type Program, Value } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import { blockKey, type Model } from '../../ir/model.ts';
import { type LayerStates, layerStates } from '../../training/layers.ts';

interface Layer extends LayerStates {
  readonly block: Block;
}

/** The numbered layers of a graph. @throws 'unsupported' where they are not known, or carry keys and values of their own. */
export const layersOf = (program: Program): Layer[] => {
  const blocks = new Map(findBlocks(program).map((block) => [block.name, block]));
  const layers = layerStates(program).map((states) => ({ ...states, block: blocks.get(`block ${states.number}`)! }));
  if (layers.length === 0)
    throw new CompressError({
      code: 'unsupported',
      message: 'the layers of this graph are not known, so there can be no more or fewer of them',
      where: { key: 'depth' },
      hint: 'Start from a checkpoint folder: its family numbers the layers.',
    });
  const { inputs, outputs } = program.graph;
  const cached = [...inputs, ...outputs].find(({ name }) => layerNumber(name) !== undefined);
  if (cached)
    throw new CompressError({
      code: 'unsupported',
      message: `${cached.name} belongs to one layer: layers with keys and values of their own are not repeated`,
      where: { key: 'depth' },
      hint: 'Use the scoring layout of the model.',
    });
  return layers;
};

/** A copy of a layer's nodes behind another one; what it gives. */
const copyLayer = (graph: Graph, { block, input, output }: Layer, source: Value, number: number, after: Node) => {
  const names = nameSource(graph);
  const known = new Map<Value, Value>([[input, source]]);
  const renamed = (name: string): string => {
    const own = layerNumber(name);
    return names.fresh(own === undefined ? name : renumbered(name, new Map([[own, number]])));
  };
  const copyAttribute = (attribute: Attribute): Attribute =>
    attribute.kind === 'graph' ? { kind: 'graph', value: cloneGraph(attribute.value, known) } : attribute;
  let last = after;
  for (const node of block.nodes) {
    const outputs = node.outputs.map((value) => value && new Value(renamed(value.name), value.type));
    node.outputs.forEach((value, index) => {
      if (value) known.set(value, outputs[index]!);
    });
    const made = new Node({
      op: node.op,
      domain: node.domain,
      overload: node.overload,
      name: node.name === '' ? '' : renamed(node.name),
      inputs: node.inputs.map((value) => value && (known.get(value) ?? value)),
      outputs,
      attributes: new Map([...node.attributes].map(([name, attribute]) => [name, copyAttribute(attribute)])),
    });
    for (const [key, text] of node.metadata) made.metadata.set(key, key === blockKey ? String(number) : text);
    graph.insertAfter(made, last);
    last = made;
  }
  return { output: known.get(output)!, last };
};

const renumberAll = (graph: Graph, numbers: ReadonlyMap<number, number>): void => {
  const values = new Set<Value>([...graph.inputs, ...graph.initializers]);
  for (const node of graph.nodes) {
    node.name = renumbered(node.name, numbers);
    const number = numbers.get(Number(node.metadata.get(blockKey) ?? Number.NaN));
    if (number !== undefined) node.metadata.set(blockKey, String(number));
    for (const value of node.outputs) if (value) values.add(value);
  }
  for (const value of values) value.name = renumbered(value.name, numbers);
};

/**
 * A model whose layers are those of another, some left out and some there several times, one after the other; copies
 * read the constants of the first. Layers and the configuration are numbered anew.
 * @param sources for each layer the place of the one that it is like, never falling
 * @throws as `layersOf`
 */
export const repeatLayers = (model: Model, sources: readonly number[]): Model => {
  const program = cloneProgram(model.program);
  const { graph } = program;
  const layers = layersOf(program);
  const first = new Map<number, number>();
  for (const [layer, source] of sources.entries()) if (!first.has(source)) first.set(source, layer);
  renumberAll(graph, new Map(layers.map(({ number }, place) => [number, first.get(place) ?? sources.length + place])));
  const flow = new Map<Value, Value>();
  for (const [place, layer] of layers.entries()) {
    const { output, block } = layer;
    const input = flow.get(layer.input) ?? layer.input;
    const times = sources.filter((source) => source === place).length;
    if (times === 0) {
      flow.set(output, input);
      replaceAllUses(output, input, { graph });
      continue;
    }
    const own = new Set(block.nodes);
    let state = { output, last: block.nodes.at(-1)! };
    for (let copy = 1; copy < times; copy++) {
      const from = graph.nodes.indexOf(state.last) + 1;
      const count = graph.nodes.length;
      state = copyLayer(graph, { ...layer, input }, state.output, first.get(place)! + copy, state.last);
      for (const node of graph.nodes.slice(from, from + graph.nodes.length - count)) own.add(node);
    }
    replaceAllUses(output, state.output, { graph, except: [...own] });
    flow.set(output, state.output);
  }
  removeDead(graph);
  inferShapes(program);
  return { ...model, program, config: configOfLayers(model.config, sources, layers.length) };
};
