import type { Model } from '../../ir/model.ts';
import { dropLayers } from './drop-layers.ts';
import { freshStudent } from './fresh-student.ts';
import type { DistillOptions } from './options.ts';

/** The student before training: the present model, some of its layers, or a fresh one. @throws as what makes it. */
export const studentOf = (
  model: Model,
  { layers, student }: Pick<DistillOptions, 'layers' | 'student'>,
  seed: number,
): Model => {
  if (layers) return dropLayers(model, layers);
  return student ? freshStudent(model, { config: student, seed }) : model;
};
