import { onnxruntimeEngine } from '../../src/execution/onnxruntime.ts';
import { cloneProgram } from '../../src/ir/clone.ts';
import { inferShapes } from '../../src/ir/inference/index.ts';
import { buildPrograms, GraphObjective } from '../../src/training/graph-objective.ts';
import { distributionLosses } from '../../src/training/losses/table.ts';
import type { Precision } from '../../src/training/step-program.ts';
import { findTrainable, readTrainable } from '../../src/training/trainable.ts';
import { plainWeight } from '../../src/training/weights/plain.ts';
import { tinyLlama, tinyText } from '../stages/distill/workbench.ts';

type Opening = Parameters<typeof GraphObjective.open>[0];

/** Cross-entropy times `weight` of the language fixture on eight windows, with all of its weights trained. */
export const openTinyObjective = async (
  weight: number,
  options: Pick<Opening, 'batch' | 'microBatch' | 'blockwise'> & { readonly precision?: Precision },
) => {
  const { precision, ...steps } = options;
  const model = await tinyLlama();
  const dataset = await tinyText(model, 'calibration', 8);
  const student = cloneProgram(model.program);
  inferShapes(student);
  const weights = new Map(
    findTrainable(student).map((one) => [
      one.value,
      plainWeight(one.value.name, one.tensor.shape, readTrainable(one), one.kind),
    ]),
  );
  const request = {
    student,
    weights,
    extra: [],
    loss: {
      scores: { value: student.graph.outputs[0]!, kind: 'scores' },
      classes: undefined,
      distributions: [{ loss: distributionLosses['cross-entropy'], weight, mixture: 0 }],
      temperature: 1,
      teachers: [],
      features: [],
      squares: [],
      windows: true,
    },
  } as const;
  const programs = buildPrograms({ ...request, ...(precision === undefined ? {} : { precision }) });
  const objective = await GraphObjective.open(
    {
      ...request,
      ...steps,
      teachers: [],
      dataset,
      train: [0, 1, 2, 3, 4, 5, 6, 7],
      held: [],
      seed: 0,
      engine: onnxruntimeEngine,
      session: {},
      signal: new AbortController().signal,
    },
    programs,
  );
  return { objective, programs };
};
