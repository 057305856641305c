import { gatherColumns } from '../../../ir/column-order.ts';
import { packRows, unpackRows } from '../../../kernels/index.ts';

/**
 * Activation order: a checkpoint may give each input its group (`g_idx`). Columns put in the order of their groups are
 * plain groups again; the graph then puts the inputs in that order by a Gather.
 */

/**
 * Inputs in the order of their groups, inputs of one group in their own order: a permutation of (columns). Undefined
 * where that is the order they have.
 */
export const inputOrderOf = (groupIndex: Int32Array): Uint32Array | undefined => {
  const order = Uint32Array.from(groupIndex.keys());
  order.sort((a, b) => groupIndex[a]! - groupIndex[b]! || a - b);
  return order.every((input, column) => input === column) ? undefined : order;
};

/** The inverse: the group of each input, (columns). */
export const groupIndexOf = (columns: number, groupSize: number, order: Uint32Array | undefined): Int32Array => {
  const groups = new Int32Array(columns);
  for (let column = 0; column < columns; column++)
    groups[order ? order[column]! : column] = Math.floor(column / groupSize);
  return groups;
};

/** What is wrong with groups of inputs; undefined where every group has `groupSize` inputs, the last one the rest. */
export const groupIndexProblem = (groupIndex: Int32Array, groupSize: number): string | undefined => {
  const groups = Math.ceil(groupIndex.length / groupSize);
  const counts = new Uint32Array(groups);
  for (const [input, group] of groupIndex.entries()) {
    if (group < 0 || group >= groups)
      return `input ${input} is given to group ${group}, and there are ${groups} groups`;
    counts[group]!++;
  }
  const wanted = (group: number): number => Math.min(groupSize, groupIndex.length - group * groupSize);
  const wrong = counts.findIndex((count, group) => count !== wanted(group));
  return wrong < 0 ? undefined : `group ${wrong} has ${counts[wrong]} inputs where ${wanted(wrong)} belong`;
};

/** Rows of packed codes (rows, columns) with their columns put in an order of inputs. */
export const orderStored = (
  stored: Uint8Array,
  { rows, columns, storedBits }: { readonly rows: number; readonly columns: number; readonly storedBits: 2 | 4 | 8 },
  order: Uint32Array | undefined,
): Uint8Array => {
  if (!order) return stored;
  const codes = gatherColumns(unpackRows({ packed: stored, rows, columns, bits: storedBits }), rows, order);
  return packRows({ codes, rows, columns, bits: storedBits });
};
