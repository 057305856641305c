import { elementCount } from '../../ir/shape.ts';
import { muonStep } from '../../kernels/index.ts';
import type { Parameter } from '../parameters.ts';
import { adamwGroup } from './adamw.ts';
import { decayOf, gradientsOf, type OptimizerCard, rateOf } from './optimizer.ts';

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
        for (const range of parameters.groups) {
          if (range.group !== 'matrix') {
            adamwGroup(range, parameters, gradients, states, facts, settings);
            continue;
          }
          muonStep({
            parameters: parameters.values.subarray(range.begin, range.end),
            gradients: gradientsOf(range, parameters, gradients),
            state: states[0].subarray(range.begin, range.end),
            shapes: range.parameters.map(matrixOf),
            learningRate: rateOf(range, facts, settings),
            weightDecay: decayOf(range, settings),
            gradientScale: facts.gradientScale,
            momentum: settings.momentum,
          });
        }
      },
    };
  },
};
