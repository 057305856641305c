import type { Objective } from '../../training/objective.ts';

/** Share of its size by which a weight changes in a step of a student that is far from its teacher. */
const greatest = 0.025;
const least = 5e-4;

/**
 * A relative learning rate by how far the student is from its teacher at the start: nearly lossless starts are made
 * worse by large steps. It grows with the square root of the starting loss (nats), up to one nat.
 */
export const automaticRate = async (objective: Objective): Promise<number> => {
  const start = (await objective.validate()) ?? (await objective.gradient(1)).loss;
  return Math.max(least, greatest * Math.min(1, Math.sqrt(Math.max(0, start))));
};
