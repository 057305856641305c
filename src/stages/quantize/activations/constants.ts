import type { NameSource } from '../../../ir/edit/names.ts';
import type { Graph, Value } from '../../../ir/graph.ts';
import { scalar } from '../../../ir/read.ts';
import type { Grid } from './grid.ts';

/** Scales and zero points as constants of the main graph; equal zero points are stored once. */
export class GridConstants {
  readonly #graph: Graph;
  readonly #names: NameSource;
  readonly #zeroPoints = new Map<string, Value>();

  constructor(graph: Graph, names: NameSource) {
    this.#graph = graph;
    this.#names = names;
  }

  scale(name: string, grid: Grid): Value {
    return this.#graph.addInitializer(this.#names.fresh(`${name}_s`), scalar(grid.scale));
  }

  zeroPoint(dtype: 'uint8' | 'int8', code: number): Value {
    const key = `${dtype}_${code}`;
    const found = this.#zeroPoints.get(key);
    if (found) return found;
    const made = this.#graph.addInitializer(this.#names.fresh(`zero_${key}`), scalar(code, dtype));
    this.#zeroPoints.set(key, made);
    return made;
  }
}
