import type { Program } from '../graph.ts';

/**
 * Takes initializers out of the list of inputs, so that they are plain constants that nobody can override. Before IR
 * version 4 every initializer had to be an input: such programs become IR version 4.
 */
export const dropInitializerInputs = (program: Program): void => {
  const { inputs, initializers } = program.graph;
  const kept = inputs.filter((value) => !initializers.has(value));
  inputs.length = 0;
  inputs.push(...kept);
  program.irVersion = Math.max(program.irVersion, 4);
};
