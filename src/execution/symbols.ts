import type { Program } from '../ir/graph.ts';
import type { Feeds } from './session.ts';

/** Values of the symbolic dimensions of a program's inputs, read from what it is fed with. */
export const symbolsOf = ({ graph }: Program, feeds: Feeds): ReadonlyMap<string, number> => {
  const symbols = new Map<string, number>();
  for (const value of graph.inputs) {
    const shape = value.type?.kind === 'tensor' ? value.type.shape : undefined;
    shape?.forEach((dim, axis) => {
      const length = feeds.get(value.name)?.shape[axis];
      if (typeof dim === 'string' && length !== undefined) symbols.set(dim, length);
    });
  }
  return symbols;
};
