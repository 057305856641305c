import { expect } from 'vitest';
import { appendGradients } from '../../src/autodiff/gradient.ts';
import { prepareForGradients } from '../../src/autodiff/prepare.ts';
import type { NumericArray } from '../../src/calibration/dataset.ts';
import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import type { Session } from '../../src/execution/session.ts';
import { cloneProgram } from '../../src/ir/clone.ts';
import { Node, type Program, Value } from '../../src/ir/graph.ts';
import { elementCount, tensorType } from '../../src/ir/shape.ts';
import { parseProgram } from '../../src/ir/text/parse.ts';
import { Random } from '../../src/random.ts';

/** One operator (or a few) over random inputs. */
export interface GradientCase {
  readonly name: string;
  /** Shapes of the inputs by name; every one is differentiated for, unless it is listed in `fixed`. */
  readonly inputs: Readonly<Record<string, readonly number[]>>;
  /** Statements that compute `z`. */
  readonly body: string;
  /** Integer or other inputs that carry no gradient are written as constants in the body. */
  readonly fixed?: readonly string[];
  /** float32 for operators that onnxruntime has in single precision only. Default float64. */
  readonly precision?: 'float32' | 'float64';
  /** Turns standard normal numbers into the inputs' range (away from kinks and poles). */
  readonly range?: (normal: number) => number;
  /** Version of the standard operator set; default 21. */
  readonly opset?: number;
  /** Header beyond the standard operator set. */
  readonly opsets?: string;
  /** Leave out the second derivative (the operator is piecewise linear, or its slope is not differentiable). */
  readonly firstOrderOnly?: true;
  /** Symbolic dimensions: name by input and axis, so that shapes are unknown when the graph is built. */
  readonly symbolic?: Readonly<Record<string, readonly (number | string)[]>>;
}

type Arrays = Map<string, NumericArray>;

const array = (
  shape: readonly number[],
  numbers: readonly number[],
  precision: 'float32' | 'float64',
): NumericArray => ({
  dtype: precision,
  shape,
  data: precision === 'float64' ? Float64Array.from(numbers) : Float32Array.from(numbers),
});

const randomArray = (shape: readonly number[], random: Random, test: GradientCase): NumericArray => {
  const range = test.range ?? ((normal) => normal);
  const numbers = Array.from({ length: elementCount(shape) }, () => range(random.normal()));
  return array(shape, numbers, test.precision ?? 'float64');
};

const numbersOf = (value: NumericArray): number[] =>
  Array.from({ length: value.data.length }, (_, index) => Number(value.data[index]));

const shifted = (arrays: Arrays, direction: Arrays, step: number): Arrays =>
  new Map(
    [...arrays].map(([name, value]): [string, NumericArray] => {
      const move = direction.get(name);
      if (!move) return [name, value];
      const numbers = numbersOf(value).map((number, index) => number + step * Number(move.data[index]));
      return [name, array(value.shape, numbers, value.dtype as 'float32' | 'float64')];
    }),
  );

const dot = (a: NumericArray, b: NumericArray): number => {
  let sum = 0;
  for (let index = 0; index < a.data.length; index++) sum += Number(a.data[index]) * Number(b.data[index]);
  return sum;
};

const withSession = async <Result>(program: Program, use: (session: Session) => Promise<Result>): Promise<Result> => {
  const session = await onnxruntimeEngine.open(program, { threads: 1, optimization: 'none' });
  try {
    return await use(session);
  } finally {
    await session.close();
  }
};

const programOf = (test: GradientCase): Program => {
  const precision = test.precision ?? 'float64';
  const header = Object.entries(test.inputs)
    .map(([name, shape]) => `${name}: ${precision}[${(test.symbolic?.[name] ?? shape).join(', ')}]`)
    .join(', ');
  return parseProgram(
    `program opset=${test.opset ?? 21} ${test.opsets ?? ''}\ngraph main(${header}) -> (z) {\n${test.body}\n}`,
  );
};

/**
 * Appends gradients of Σ seed·loss and makes them the outputs `<prefix>.<name>`; `<prefix>.seed` becomes an input.
 * Sources that do not reach the loss get no output: their derivative must then be measured as zero.
 */
const differentiate = (program: Program, lossName: string, of: readonly string[], prefix: string): Program => {
  const copy = cloneProgram(program);
  prepareForGradients(copy);
  const { graph } = copy;
  const loss = graph.outputs.find((value) => value.name === lossName)!;
  const seed = new Value(`${prefix}.seed`, loss.type);
  graph.inputs.push(seed);
  const sources = of.map((name) => graph.inputs.find((value) => value.name === name)!);
  const { byValue } = appendGradients({ graph, loss, seed, of: sources, prefix });
  for (const source of sources) {
    const gradient = byValue.get(source);
    if (!gradient) continue;
    // Two sources may have one gradient: each gets an output of its own.
    const type = tensorType(source.type?.kind === 'tensor' ? source.type.dtype : undefined);
    const output = new Value(`${prefix}.${source.name}`, type);
    graph.insert(new Node({ op: 'Identity', inputs: [gradient], outputs: [output] }));
    graph.outputs.push(output);
  }
  return copy;
};

/** Compares directional derivatives of f with those of central differences of fourth order, along several random directions. */
const compare = async (
  plain: Program,
  derived: Program,
  lossName: string,
  prefix: string,
  point: Arrays,
  of: readonly string[],
  test: GradientCase,
  random: Random,
): Promise<void> => {
  const single = test.precision === 'float32';
  const step = single ? 1e-2 : 1e-4;
  const tolerance = single ? 2e-3 : 1e-6;
  const names = (program: Program): Set<string> => new Set(program.graph.inputs.map((value) => value.name));
  const only = (arrays: Arrays, program: Program): Arrays =>
    new Map([...arrays].filter(([name]) => names(program).has(name)));
  await withSession(plain, (forward) =>
    withSession(derived, async (backward) => {
      const output = (await forward.run(only(point, plain), [lossName])).get(lossName)!;
      const seed = randomArray(output.shape, random, { ...test, range: (normal) => normal });
      const reached = of.filter((name) => backward.outputNames.includes(`${prefix}.${name}`));
      const gradients =
        reached.length === 0
          ? new Map<string, NumericArray>()
          : await backward.run(
              new Map([...only(point, derived), [`${prefix}.seed`, seed]]),
              reached.map((name) => `${prefix}.${name}`),
            );
      for (const name of reached) expect(gradients.get(`${prefix}.${name}`)!.shape).toEqual(point.get(name)!.shape);
      for (let round = 0; round < 3; round++) {
        const direction: Arrays = new Map(
          of.map((name) => [name, randomArray(point.get(name)!.shape, random, { ...test, range: (normal) => normal })]),
        );
        const at = async (amount: number): Promise<number> =>
          dot((await forward.run(only(shifted(point, direction, amount), plain), [lossName])).get(lossName)!, seed);
        const [near, far] = [(await at(step)) - (await at(-step)), (await at(2 * step)) - (await at(-2 * step))];
        const measured = (8 * near - far) / (12 * step);
        const claimed = reached.reduce(
          (sum, name) => sum + dot(gradients.get(`${prefix}.${name}`)!, direction.get(name)!),
          0,
        );
        const size = Math.max(1, Math.abs(measured), Math.sqrt(seed.data.length));
        expect(
          Math.abs(claimed - measured) / size,
          `${test.name}: ${claimed} claimed, ${measured} measured`,
        ).toBeLessThan(tolerance);
      }
    }),
  );
};

/** Checks that a program taken apart for differentiation still computes the same. */
export const checkPrepared = async (test: GradientCase): Promise<void> => {
  const random = new Random(5, test.name);
  const plain = programOf(test);
  const point: Arrays = new Map(
    Object.entries(test.inputs).map(([name, shape]) => [name, randomArray(shape, random, test)]),
  );
  const prepared = cloneProgram(plain);
  prepareForGradients(prepared);
  const [wanted, found] = await Promise.all(
    [plain, prepared].map((program) =>
      withSession(program, async (session) => (await session.run(point, ['z'])).get('z')!),
    ),
  );
  expect(found!.shape).toEqual(wanted!.shape);
  const size = Math.max(...numbersOf(wanted!).map(Math.abs));
  numbersOf(wanted!).forEach((number, index) => {
    expect(Math.abs(number - Number(found!.data[index])) / size, `${test.name}, element ${index}`).toBeLessThan(2e-5);
  });
};

/** Checks first derivatives, and second ones by differentiating the gradient again. */
export const checkGradients = async (test: GradientCase): Promise<void> => {
  const random = new Random(7, test.name);
  const plain = programOf(test);
  const of = Object.keys(test.inputs).filter((name) => !test.fixed?.includes(name));
  const point: Arrays = new Map(
    Object.entries(test.inputs).map(([name, shape]) => [name, randomArray(shape, random, test)]),
  );
  const first = differentiate(plain, 'z', of, 'first');
  await compare(plain, first, 'z', 'first', point, of, test, random);
  if (test.firstOrderOnly) return;
  const z = await withSession(plain, async (session) => (await session.run(point, ['z'])).get('z')!);
  const withSeed = new Map([
    ...point,
    ['first.seed', randomArray(z.shape, random, { ...test, range: (normal) => normal })] as const,
  ]);
  for (const name of of) {
    if (!first.graph.outputs.some((value) => value.name === `first.${name}`)) continue;
    const second = differentiate(first, `first.${name}`, ['first.seed', ...of], 'second');
    await compare(first, second, `first.${name}`, 'second', withSeed, ['first.seed', ...of], test, random);
  }
};
