import { expect, test } from 'vitest';
import { cloneProgram } from '../../../../src/ir/clone.ts';
import { nameSource } from '../../../../src/ir/edit/names.ts';
import { parseProgram } from '../../../../src/ir/text/parse.ts';
import { standardise } from '../../../../src/stages/quantize/activations/prepare/standardise.ts';
import { normalArray } from '../../../artifact/lower/run.ts';
import { relativeDifference } from './workbench.ts';

test.each([
  'y = ImageScaler(x, scale=2.5, bias=[1.0, -2.0, 3.0])',
  'y = Affine(x, alpha=150.0, beta=-3.0)',
  'y = Crop(x, border=[1, 2, 3, 1])',
  'y = Crop(x, border=[0, 1, 0, 0])',
  'y = Crop(x, border=[1, 2, 0, 0], scale=[3, 4])',
])('%s computes the same in standard operators', async (statement) => {
  const program = parseProgram(`program opset=7\ngraph main(x: float32[1, 3, 8, 9]) -> (y) {\n ${statement}\n}`);
  const copy = cloneProgram(program);
  expect(standardise(copy, nameSource(copy.graph))).toBe(1);
  expect(copy.graph.nodes.map((node) => node.op)).not.toContain(program.graph.nodes[0]!.op);
  expect(await relativeDifference(program, copy, { x: normalArray([1, 3, 8, 9], 1) })).toBeLessThan(1e-6);
});
