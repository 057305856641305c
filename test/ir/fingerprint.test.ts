import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadSnapshot, saveSnapshot } from '../../src/artifact/snapshot.ts';
import { cloneProgram } from '../../src/ir/clone.ts';
import { setConstant } from '../../src/ir/edit/replace.ts';
import { programFingerprint } from '../../src/ir/fingerprint.ts';
import type { Program } from '../../src/ir/graph.ts';
import { floatTensor } from '../../src/ir/read.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';

const text = `program opset=21
graph g(x: float32[N, 48]) -> (y) {
  w: float32[48, 32] = random(seed=1)
  c: float32[32] = random(seed=2)
  a = MatMul(x, w) { name: "a" }
  y = Add(a, c) { name: "y" }
}
`;

const change = (edit: (program: Program) => void): string => {
  const program = cloneProgram(parseProgram(text));
  edit(program);
  return programFingerprint(program);
};

const original = change(() => {});

test('is the same for a copy, and for one with other notes and types', () => {
  expect(programFingerprint(parseProgram(text))).toBe(original);
  const noted = change(({ graph }) => {
    const [node] = [...graph.nodes];
    node!.metadata.set('modelpress.bits', '4');
    node!.docString = 'a product';
    node!.outputs[0]!.type = { kind: 'tensor', dtype: 'float32', shape: ['N', 32] };
  });
  expect(noted).toBe(original);
});

test('is another one for other weights, names, attributes, operators or blocks', () => {
  const others = [
    change(({ graph }) => {
      const [weight] = [...graph.initializers];
      setConstant(weight!, floatTensor([48, 32], new Float32Array(48 * 32)));
    }),
    change(({ graph }) => {
      [...graph.nodes][0]!.name = 'b';
    }),
    change(({ graph }) => {
      [...graph.nodes][1]!.op = 'Sub';
    }),
    change(({ graph }) => {
      [...graph.nodes][1]!.attributes.set('axis', { kind: 'int', value: 1 });
    }),
    change(({ graph }) => {
      [...graph.nodes][1]!.metadata.set('modelpress.block', '1');
    }),
  ];
  expect(new Set([original, ...others]).size).toBe(6);
});

test('survives being written to a snapshot and read from its files', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'modelpress-fingerprint-'));
  try {
    const program = parseProgram(text);
    await saveSnapshot({ program, family: undefined, config: undefined, companions: [], origin: 'test' }, directory);
    expect(programFingerprint(loadSnapshot(directory).program)).toBe(original);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
