import { appendGradients } from '../../src/autodiff/gradient.ts';
import { prepareForGradients } from '../../src/autodiff/prepare.ts';
import type { NumericArray } from '../../src/calibration/dataset.ts';
import { OperatorBuilder } from '../../src/ir/build.ts';
import { Graph, intAttribute, newProgram, Value } from '../../src/ir/graph.ts';
import { inferShapes } from '../../src/ir/inference/index.ts';
import { tensorType } from '../../src/ir/shape.ts';
import { arrayOf, runProgram } from '../ir/run.ts';

/** Named float inputs of a loss, and int64 labels. */
export interface LossData {
  readonly [name: string]: { readonly shape: readonly number[]; readonly numbers: readonly number[] };
}

/** Rows of a loss, and the gradient of their sum for one of the inputs. */
export const runRows = async (
  data: LossData,
  of: string,
  rows: (build: OperatorBuilder, inputs: Readonly<Record<string, Value>>) => Value,
): Promise<{ readonly rows: number[]; readonly gradient: number[] }> => {
  const graph = new Graph('loss');
  const program = newProgram(graph, 21);
  const inputs: Record<string, Value> = {};
  const feeds = new Map<string, NumericArray>();
  for (const [name, { shape, numbers }] of Object.entries(data)) {
    const dtype = name === 'labels' ? 'int64' : 'float32';
    inputs[name] = new Value(name, tensorType(dtype, shape));
    graph.inputs.push(inputs[name]);
    feeds.set(name, arrayOf(dtype, shape, numbers));
  }
  const build = new OperatorBuilder(graph, 'test');
  const result = rows(build, inputs);
  const sum = build.call('ReduceSum', [result], { keepdims: intAttribute(0) });
  graph.outputs.push(result);
  prepareForGradients(program);
  inferShapes(program);
  const gradient = appendGradients({ graph, loss: sum, of: [inputs[of]!] }).byValue.get(inputs[of]!)!;
  graph.outputs.push(gradient);
  const outputs = await runProgram(program, feeds);
  const numbersOf = (value: Value): number[] => Array.from(outputs.get(value.name)!.data, Number);
  return { rows: numbersOf(result), gradient: numbersOf(gradient) };
};

/** Central differences of a plain function of many numbers. */
export const differences = (at: readonly number[], value: (numbers: readonly number[]) => number): number[] =>
  at.map((number, index) => {
    const step = 1e-5;
    const moved = (by: number): number => value(at.with(index, number + by));
    return (moved(step) - moved(-step)) / (2 * step);
  });
