import { elementCount } from '../../ir/shape.ts';
import { muonStep } from '../../kernels/index.ts';
import type { Parameter } from '../parameters.ts';
import { adamwRun } from './adamw.ts';
import { type OptimizerCard, stepRuns } from './optimizer.ts';

/** The matrix that a weight's array is taken for: its first axis by all others. */
const matrixOf = ({ shape }: Parameter): { rows: number; columns: number } => ({
  rows: shape[0] ?? 1,
  columns: elementCount(shape.slice(1)),
});

/** Muon (Jordan et al. 2024) on matrices, AdamW on everything else. */
export const muon: OptimizerCard = {
  name: 'muon',
  summary: 'orthogonalised momentum for matrices, AdamW for the rest',
  create: (parameters, settings) => {
    const states = [new Float32Array(parameters.length), new Float32Array(parameters.length)] as const;
    return {
      states,
      step: (gradients, facts) => {
        for (const run of stepRuns(parameters, gradients, facts, settings)) {
          if (run.group !== 'matrix') {
            adamwRun(run, parameters, states, facts, settings);
            continue;
          }
          muonStep({
            parameters: parameters.values.subarray(run.begin, run.end),
            gradients: run.gradients,
            state: states[0].subarray(run.begin, run.end),
            shapes: run.parameters.map(matrixOf),
            learningRate: run.learningRate,
            weightDecay: run.weightDecay,
            gradientScale: facts.gradientScale,
            momentum: settings.momentum,
          });
        }
      },
    };
  },
};
