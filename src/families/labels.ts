import { z } from 'zod';

/** Keys that say how many classes a head tells apart. */
export const labelFields = {
  id2label: z.record(z.string(), z.unknown()).nullish(),
  num_labels: z.number().int().positive().nullish(),
};

/** Number of classes of a head; 2 where the configuration does not say. */
export const labelCount = (config: {
  readonly id2label?: Readonly<Record<string, unknown>> | null | undefined;
  readonly num_labels?: number | null | undefined;
}): number => (config.id2label ? Object.keys(config.id2label).length : (config.num_labels ?? 2));
