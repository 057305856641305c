import { describe, expect, it } from 'vitest';
import { evaluateDim } from '../../../src/ir/dimension.ts';
import { inferShapes } from '../../../src/ir/inference/index.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { observableValues, randomFeeds, runProgram } from '../run.ts';
import { cases } from './cases.ts';

/** What inference says of every value, with symbols replaced by the sizes fed, is what onnxruntime computes. */
describe('inferred types and shapes are those of onnxruntime', () => {
  it.each(cases.map((entry) => [entry.name, entry] as const))(
    '%s',
    async (_, { versions, header, body, functions = '', sizes, open = [] }) => {
      const program = parseProgram(`program ${versions}\ngraph g${header} {${body}\n}\n${functions}\n`);
      const report = inferShapes(program);
      expect([...report.problems, ...report.contradictions].map((problem) => problem.message)).toEqual([]);
      expect(report.unknownOperators).toEqual([]);
      const values = observableValues(program);
      const symbolsOfInputs = program.graph.inputs.map((value) =>
        value.type?.kind === 'tensor' ? (value.type.shape ?? []) : [],
      );
      for (const size of sizes) {
        const symbols = new Map(Object.entries(size));
        const shapes = Object.fromEntries(
          program.graph.inputs.map((value, index) => [
            value.name,
            symbolsOfInputs[index]!.map((dim) => evaluateDim(dim, symbols)!),
          ]),
        );
        const results = await runProgram(program, randomFeeds(program, shapes), values);
        for (const value of values) {
          const type = value.type;
          const found = results.get(value.name);
          if (type?.kind !== 'tensor' || !found) throw new Error(`${value.name} has no type or no result`);
          expect([value.name, type.dtype]).toEqual([value.name, found.dtype]);
          const evaluated = type.shape?.map(
            (dim, axis) => evaluateDim(dim, symbols) ?? (open.includes(value.name) ? found.shape[axis] : null),
          );
          expect([value.name, evaluated]).toEqual([value.name, [...found.shape]]);
        }
      }
    },
  );
});
