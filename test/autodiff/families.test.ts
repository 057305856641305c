import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findSites } from '../../src/analysis/sites.ts';
import { appendGradients } from '../../src/autodiff/gradient.ts';
import { prepareForGradients } from '../../src/autodiff/prepare.ts';
import type { NumericArray } from '../../src/calibration/dataset.ts';
import { floatArray } from '../../src/execution/arrays.ts';
import { Value } from '../../src/ir/graph.ts';
import { inferShapes } from '../../src/ir/inference/index.ts';
import { elementCount } from '../../src/ir/shape.ts';
import { buildGolden, fitsFusedAttention, isDecoder, openGolden, runProgram } from '../families/golden.ts';

/** Shape, norm and projection of a gradient as fixtures/reference/make_gradients.py writes them. */
type Facts = readonly [shape: readonly number[], norm: number, projection: number];

const path = resolve(import.meta.dirname, '../../fixtures/reference/gradients.json');
const reference: Readonly<
  Record<string, { readonly output: string; readonly parameters: Readonly<Record<string, Facts>> }>
> = JSON.parse(readFileSync(path, 'utf8'));

/** Σ g[row][column]·cos(row)·cos(2·column); `transposed`: the array holds columns first. */
const projectionOf = (array: NumericArray, shape: readonly number[], transposed: boolean): number => {
  const rows = shape[0]!;
  const columns = elementCount(shape) / rows;
  let sum = 0;
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const at = transposed ? column * rows + row : row * columns + column;
      sum += Number(array.data[at]) * Math.cos(row) * Math.cos(2 * column);
    }
  return sum;
};

const normOf = (array: NumericArray): number => Math.hypot(...Array.from(array.data as Float32Array));

/** Gradients of Σ cos(j)·output[j] for the constants of a golden model that have the names of the parameters. */
const gradientsOf = async (name: string, fused: boolean) => {
  const golden = openGolden(name);
  const { output, parameters } = reference[name]!;
  const program = buildGolden(golden, { fused, pooler: true });
  prepareForGradients(program);
  const { graph } = program;
  const loss = graph.outputs.find((value) => value.name === output)!;
  const seed = new Value('seed', loss.type);
  graph.inputs.push(seed);
  const of = [...graph.initializers].filter((value) => value.name in parameters);
  const transposed = new Set(
    findSites(program)
      .filter((site) => site.layout === 'rows-last')
      .map((site) => site.weight.name),
  );
  const { byValue, unreached } = appendGradients({ graph, loss, seed, of });
  expect(unreached).toEqual([]);
  graph.outputs.splice(0, graph.outputs.length, ...byValue.values());
  inferShapes(program);
  const { shape } = golden.arrays.get(output)!;
  const waves = floatArray(
    shape,
    Float32Array.from({ length: elementCount(shape) }, (_, index) => Math.cos(index)),
  );
  const results = await runProgram(program, new Map([...golden.arrays, ['seed', waves]]));
  return { of, transposed, gradient: (value: Value) => results.get(byValue.get(value)!.name)!, parameters };
};

const names = Object.keys(reference);

describe.each([
  ['standard operators', false],
  ['fused operators', true],
])('a family in %s has the gradients that PyTorch computes in double precision', (_title, fused) => {
  const buildable = fused
    ? names.map(openGolden).flatMap((golden) => (!isDecoder(golden) || fitsFusedAttention(golden) ? [golden.name] : []))
    : names;
  test.each(buildable)('%s', async (name) => {
    const { of, transposed, gradient, parameters } = await gradientsOf(name, fused);
    expect(of.length).toBeGreaterThan(Object.keys(parameters).length / 3);
    const largest = Math.max(...Object.values(parameters).map(([, norm]) => norm));
    for (const value of of) {
      const [shape, norm, projection] = parameters[value.name]!;
      const found = gradient(value);
      const turned = transposed.has(value.name);
      expect([...found.shape].sort(), value.name).toEqual([...shape].sort());
      // Gradients that cancel (keys' biases under a softmax) are compared with the others' size.
      const size = Math.max(norm, 1e-3 * largest);
      expect(Math.abs(normOf(found) - norm) / size, value.name).toBeLessThan(2e-4);
      expect(Math.abs(projectionOf(found, shape, turned) - projection) / size, value.name).toBeLessThan(2e-4);
    }
  });
});
