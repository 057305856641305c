import type { Dataset } from '../../calibration/dataset.ts';
import { CompressError } from '../../errors.ts';

/**
 * The samples of a dataset whose label is one of some classes, so that a model is cut for them alone (ED-ViT, Liu et al.
 * 2024). @throws 'data' when samples have no labels, or none has one of these.
 */
export const ofClasses = async (dataset: Dataset, classes: readonly number[]): Promise<Dataset> => {
  const wanted = new Set(classes);
  const indices: number[] = [];
  for (let index = 0; index < dataset.length; index++) {
    const sample = await dataset.sample(index);
    const label = sample.kind === 'arrays' ? sample.label : undefined;
    if (label === undefined)
      throw new CompressError({
        code: 'data',
        message: `sample ${index} of ${dataset.description} has no label, so classes cannot be told apart`,
        where: { key: 'classes' },
        hint: 'Use data with labels, or leave classes out.',
      });
    if (wanted.has(label)) indices.push(index);
  }
  if (indices.length === 0)
    throw new CompressError({
      code: 'data',
      message: `no sample of ${dataset.description} is of class ${classes.join(', ')}`,
      where: { key: 'classes' },
    });
  return {
    description: `${dataset.description}, classes ${classes.join(', ')}`,
    length: indices.length,
    fingerprint: `${dataset.fingerprint}:classes ${[...wanted].sort((a, b) => a - b).join(',')}`,
    sample: (index) => dataset.sample(indices[index]!),
  };
};
