import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../../src/artifact/open.ts';
import { inferShapes } from '../../../src/ir/inference/index.ts';
import { verify } from '../../../src/ir/verify.ts';
import { nodesWithin } from '../../../src/ir/walk.ts';

const root = resolve(import.meta.dirname, '../../../fixtures/reference');
const names = existsSync(root) ? readdirSync(root).filter((name) => existsSync(join(root, name, 'config.json'))) : [];

describe.each(names)('%s', (name) => {
  it.each(['scoring', 'generation'] as const)('%s: every operator is known and every shape', async (layout) => {
    const { program } = await openModel(join(root, name), { layout });
    expect(verify(program)).toEqual([]);
    expect(inferShapes(program)).toEqual({ unknownOperators: [], problems: [], contradictions: [] });
    const dataDependent = [...nodesWithin(program.graph)].some((node) => node.op === 'NonZero');
    for (const node of nodesWithin(program.graph))
      for (const value of node.outputs) {
        const type = value?.type;
        const known =
          type?.kind === 'tensor' && type.dtype && type.shape && (dataDependent || !type.shape.includes(null));
        expect([value?.name, Boolean(known)]).toEqual([value?.name, true]);
      }
  });
});
