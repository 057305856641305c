import { z } from 'zod';
import type { Graph, Program, Value } from '../../../../ir/graph.ts';
import { graphsWithin } from '../../../../ir/walk.ts';
import { factsOf, type GraphFacts, type ValueFacts } from '../facts.ts';

/** The option of every format that writes ONNX files. */
export const compactOption = z
  .boolean()
  .default(false)
  .describe('Short names inside the graph, no names and notes of nodes: up to a quarter of the file of a small model');

/** Names that somebody outside the graph's nodes goes by: callers, annotations, entries that are kept as the file had them. */
const namesToKeep = (graph: Graph): Set<string> => {
  const kept = new Set<string>();
  for (const inner of graphsWithin(graph)) {
    for (const value of inner.initializers) kept.add(value.name);
    const { overrides = [], dangling = [] } = factsOf<GraphFacts>(inner.carried);
    for (const { name } of overrides) kept.add(name);
    for (const { info } of dangling) kept.add(info.name);
    for (const { tensor, parameters } of inner.quantizationAnnotations) {
      kept.add(tensor);
      for (const name of parameters.values()) kept.add(name);
    }
  }
  for (const value of [...graph.inputs, ...graph.outputs]) kept.add(value.name);
  return kept;
};

/** A value without notes and without an entry in value_info, which runtimes find out themselves. */
const withoutNotes = (value: Value): void => {
  value.docString = '';
  value.metadata.clear();
  const { info: _, listed: __, ...rest } = factsOf<ValueFacts>(value.carried);
  value.carried = { onnx: rest };
};

/**
 * Takes off a graph what running it does not need: values inside get short names, nodes lose names and notes. Inputs,
 * outputs and weights keep their names. In a small model names are up to a quarter of the file.
 */
export const compactGraph = ({ graph }: Program): void => {
  const kept = namesToKeep(graph);
  let next = 0;
  const short = (): string => {
    let name = (next++).toString(36);
    while (kept.has(name)) name = (next++).toString(36);
    return name;
  };
  const rename = (value: Value): void => {
    withoutNotes(value);
    if (!kept.has(value.name)) value.name = short();
  };
  for (const inner of graphsWithin(graph)) {
    inner.docString = '';
    inner.metadata.clear();
    if (inner !== graph) for (const value of inner.inputs) rename(value);
    for (const node of inner.nodes) {
      node.name = '';
      node.docString = '';
      node.metadata.clear();
      for (const value of node.outputs) if (value && !graph.outputs.includes(value)) rename(value);
    }
  }
};
