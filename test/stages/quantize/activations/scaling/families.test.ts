import { describe, expect, it } from 'vitest';
import { findSites, type Site } from '../../../../../src/analysis/sites.ts';
import { nameSource } from '../../../../../src/ir/edit/names.ts';
import type { Program, Value } from '../../../../../src/ir/graph.ts';
import { inferShapes } from '../../../../../src/ir/inference/index.ts';
import { verify } from '../../../../../src/ir/verify.ts';
import { Random } from '../../../../../src/random.ts';
import { unscaled } from '../../../../../src/stages/quantize/activations/scaling/pattern.ts';
import { rescale } from '../../../../../src/stages/quantize/activations/scaling/rescale.ts';
import { traceScaling } from '../../../../../src/stages/quantize/activations/scaling/trace.ts';
import { buildGolden, goldenNames, largestDifference, openGolden, runProgram } from '../../../../families/golden.ts';

/** Scales every input of matrix products by random factors where that can be folded. Returns how many there were. */
const scaleEverything = (program: Program): number => {
  inferShapes(program);
  const outputs = new Set(program.graph.outputs);
  const byInput = new Map<Value, Site[]>();
  for (const site of findSites(program))
    if (site.op === 'MatMul' && site.node.inputs[1] === site.weight && site.weight.uses.length === 1)
      byInput.set(site.input, [...(byInput.get(site.input) ?? []), site]);
  const random = new Random(3);
  const names = nameSource(program.graph);
  let folded = 0;
  for (const [value, readers] of byInput) {
    const folding = value.uses.length === readers.length ? traceScaling(value, -1, outputs) : undefined;
    if (!folding) continue;
    const byClass = Float32Array.from({ length: folding.classes.length + 1 }, () => 2 ** (4 * random.float() - 2));
    const divisors = Float32Array.from(folding.classes, (id) => (id === unscaled ? 1 : byClass[id]!));
    rescale(program.graph, { value, readers, divisors, folding }, names);
    folded++;
  }
  return folded;
};

describe('every family computes the same after its inputs of products were scaled', () => {
  it.each(goldenNames)('%s', async (name) => {
    const golden = openGolden(name);
    const program = buildGolden(golden);
    const before = await runProgram(program, golden.arrays);
    expect(scaleEverything(program)).toBeGreaterThan(0);
    expect(verify(program)).toEqual([]);
    const after = await runProgram(program, golden.arrays);
    for (const [output, array] of before)
      expect(largestDifference(array, after.get(output)), output).toBeLessThan(1e-4);
  });
});
