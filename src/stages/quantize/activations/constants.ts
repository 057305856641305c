import type { NameSource } from '../../../ir/edit/names.ts';
import type { Graph, Value } from '../../../ir/graph.ts';
import { scalar } from '../../../ir/read.ts';
import type { Grid } from './grid.ts';

/** Scale and zero point of a grid as constants. */
export interface GridParameters {
  readonly scale: Value;
  readonly zeroPoint: Value;
}

/** Scales and zero points as constants of the graphs that read them; equal zero points of a graph are stored once. */
export class GridConstants {
  readonly #names: NameSource;
  readonly #zeroPoints = new Map<Graph, Map<string, Value>>();

  constructor(names: NameSource) {
    this.#names = names;
  }

  /** Constants of a graph for a grid, named after a value. */
  parameters(graph: Graph, name: string, grid: Grid): GridParameters {
    return {
      scale: graph.addInitializer(this.#names.fresh(`${name}_s`), scalar(grid.scale)),
      zeroPoint: this.zeroPoint(graph, grid.dtype, grid.zeroPoint),
    };
  }

  zeroPoint(graph: Graph, dtype: 'uint8' | 'int8', code: number): Value {
    const known = this.#zeroPoints.get(graph) ?? new Map<string, Value>();
    this.#zeroPoints.set(graph, known);
    const key = `${dtype}_${code}`;
    const found = known.get(key);
    if (found) return found;
    const made = graph.addInitializer(this.#names.fresh(`zero_${key}`), scalar(code, dtype));
    known.set(key, made);
    return made;
  }
}
