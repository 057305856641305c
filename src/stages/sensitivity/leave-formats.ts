import { findSites } from '../../analysis/sites.ts';
import { cloneProgram } from '../../ir/clone.ts';
import type { Program } from '../../ir/graph.ts';
import { bitsKey, groupSizeKey } from '../../ir/model.ts';
import type { Format } from './formats.ts';
import type { Unit } from './units.ts';

/** A copy of a program with the formats of an allocation on the nodes of their sites, where later stages read them. */
export const withFormats = (program: Program, formats: ReadonlyMap<Unit, Format>): Program => {
  const byName = new Map(
    [...formats].flatMap(([{ sites }, format]) => sites.map((site): [string, Format] => [site.name, format])),
  );
  const copy = cloneProgram(program);
  for (const { name, node } of findSites(copy)) {
    const format = byName.get(name);
    if (!format) continue;
    node.metadata.set(bitsKey, String(format.bits));
    node.metadata.set(groupSizeKey, String(format.groupSize));
  }
  return copy;
};
