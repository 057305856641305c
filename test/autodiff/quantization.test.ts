import { describe, expect, test } from 'vitest';
import { appendGradients } from '../../src/autodiff/gradient.ts';
import { prepareForGradients } from '../../src/autodiff/prepare.ts';
import { floatArray } from '../../src/execution/arrays.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { withSession } from '../../src/execution/session.ts';
import { Node, Value } from '../../src/ir/graph.ts';
import { inferShapes } from '../../src/ir/inference/index.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { Random } from '../../src/random.ts';

interface Granularity {
  readonly name: string;
  readonly scale: readonly number[];
  readonly attributes: string;
  /** Which scale element (row, column) has. */
  readonly scaleAt: (row: number, column: number) => number;
}

const granularities: readonly Granularity[] = [
  { name: 'one scale', scale: [], attributes: '', scaleAt: () => 0 },
  { name: 'a scale a column', scale: [6], attributes: ', axis=1', scaleAt: (_row, column) => column },
  {
    name: 'a scale for three columns of a row',
    scale: [4, 2],
    attributes: ', axis=1, block_size=3',
    scaleAt: (row, column) => 2 * row + Math.floor(column / 3),
  },
];

describe('fake quantization is differentiated straight through', () => {
  test.each(granularities)(
    'with $name: clipped numbers pass nothing, scales learn as in LSQ',
    async ({ scale, attributes, scaleAt }) => {
      const zeroShape = scale.join(', ');
      const program = parseProgram(`program opset=21
graph main(x: float32[4, 6], s: float32[${zeroShape}], g: float32[4, 6]) -> (y) {
  z: int8[${zeroShape}] = fill(2)
  q = QuantizeLinear(x, s, z${attributes})
  y = DequantizeLinear(q, s, z${attributes})
}`);
      prepareForGradients(program);
      const { graph } = program;
      const [x, s, seed] = graph.inputs as [Value, Value, Value];
      const { byValue } = appendGradients({ graph, loss: graph.outputs[0]!, seed, of: [x, s] });
      for (const [name, value] of [
        ['dx', byValue.get(x)!],
        ['ds', byValue.get(s)!],
      ] as const) {
        const output = new Value(name);
        graph.insert(new Node({ op: 'Identity', inputs: [value], outputs: [output] }));
        graph.outputs.push(output);
      }
      inferShapes(program);
      const random = new Random(4, 'numbers');
      const numbers = Float32Array.from({ length: 24 }, () => random.normal());
      const gradients = Float32Array.from({ length: 24 }, () => random.normal());
      const scales = Float32Array.from(
        {
          length: Math.max(
            1,
            scale.reduce((a, b) => a * b, 1),
          ),
        },
        () => 0.004 + 0.004 * random.float(),
      );
      const results = await withSession(onnxruntimeEngine, program, {}, (session) =>
        session.run(
          new Map([
            ['x', floatArray([4, 6], numbers)],
            ['s', floatArray(scale, scales)],
            ['g', floatArray([4, 6], gradients)],
          ]),
        ),
      );
      const wantedX = new Float32Array(24);
      const wantedS = new Float64Array(scales.length);
      let clipped = 0;
      numbers.forEach((number, index) => {
        const at = scaleAt(Math.floor(index / 6), index % 6);
        const step = scales[at]!;
        const code = Math.min(127, Math.max(-128, Math.round(number / step) + 2));
        const inside = number >= (-128 - 2) * step && number <= (127 - 2) * step;
        if (!inside) clipped++;
        wantedX[index] = inside ? gradients[index]! : 0;
        wantedS[at]! += gradients[index]! * (code - 2 - (inside ? number / step : 0));
      });
      expect(clipped).toBeGreaterThan(2);
      expect(clipped).toBeLessThan(22);
      expect(Array.from(results.get('dx')!.data as Float32Array, (number) => number + 0)).toEqual([...wantedX]);
      expect(results.get('ds')!.shape).toEqual(scale);
      wantedS.forEach((wanted, index) => {
        expect(Number(results.get('ds')!.data[index])).toBeCloseTo(wanted, 2);
      });
    },
  );
});
