import type { CheckpointStore } from './stage.ts';

/** A store in memory, for stages that are run outside of a recipe; `kept` may be looked at from outside. */
export const memoryStore = (kept: Map<string, Uint8Array> = new Map()): CheckpointStore => ({
  get: (key) => kept.get(key),
  put: (key, bytes) => {
    kept.set(key, bytes);
  },
});
