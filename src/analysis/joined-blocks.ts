import type { Node, Program } from '../ir/graph.ts';
import { findBlocks } from './blocks.ts';
import { type Block, blocksOf, flowOf } from './flow.ts';

/** The blocks of a program, neighbours joined so that the nodes of every given set lie in one of them. */
export const joinedBlocks = (program: Program, together: readonly (readonly Node[])[]): Block[] => {
  const blocks = findBlocks(program);
  const blockOf = new Map(blocks.flatMap(({ nodes, index }) => nodes.map((node) => [node, index] as const)));
  // The last block that each one is joined with.
  const ends = blocks.map(({ index }) => index);
  for (const nodes of together) {
    const indices = nodes.flatMap((node) => blockOf.get(node) ?? []);
    const first = Math.min(...indices);
    if (indices.length > 0) ends[first] = Math.max(ends[first]!, ...indices);
  }
  const groups: { name: string; nodes: Node[] }[] = [];
  for (let index = 0; index < blocks.length; index++) {
    const { name } = blocks[index]!;
    const nodes: Node[] = [];
    let end = ends[index]!;
    for (let at = index; at <= end; at++) {
      nodes.push(...blocks[at]!.nodes);
      end = Math.max(end, ends[at]!);
    }
    index = end;
    groups.push({ name, nodes });
  }
  return groups.length === blocks.length ? blocks : blocksOf(flowOf(program), groups);
};
