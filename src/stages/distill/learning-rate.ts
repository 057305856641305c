import type { Objective } from '../../training/objective.ts';
import type { DistillOptions } from './options.ts';

/**
 * A learning rate by how far the student is from its teacher at the start: nearly lossless starts are made worse by
 * large steps. Grows with the square root of the starting loss, up to that of training from afar; adapters, whose
 * factors start small, take more.
 */
export const automaticRate = async (objective: Objective, options: DistillOptions): Promise<number> => {
  const start = (await objective.validate()) ?? (await objective.gradient(1)).loss;
  const distance = Math.min(1, Math.sqrt(Math.max(0, start)));
  const rate = Math.max(1e-4, 3e-3 * distance);
  return options.adapters ? 3 * rate : rate;
};
