import type { NumericArray } from '../calibration/dataset.ts';
import type { StepProgram } from './step-program.ts';

/** What the loss and its parts were in one run. */
export interface RunLoss {
  readonly loss: number;
  readonly parts: Readonly<Record<string, number>>;
}

/** The loss and its parts among the outputs of a program of a step. */
export const lossOf = (program: StepProgram, outputs: ReadonlyMap<string, NumericArray>): RunLoss => {
  const read = (name: string): number => Number(outputs.get(name)?.data[0] ?? Number.NaN);
  return {
    loss: read(program.loss),
    parts: Object.fromEntries(program.parts.map(({ name, output }) => [name, read(output)])),
  };
};
