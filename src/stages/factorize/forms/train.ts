import { readSiteMatrix } from '../../../analysis/site-weights.ts';
import type { Site } from '../../../analysis/sites.ts';
import {
  expandTrain,
  matrixOfTensor,
  tensorOfMatrix,
  tensorRing,
  tensorTrain,
  trainParameters,
  trainShapes,
} from '../methods/tensor-train.ts';
import { leadingAxes, writeTrain } from '../write/train.ts';
import { costOf, type FactorForm, type FormOption, type FormRequest, lossMeter } from './form.ts';

/** Shapes that are tried, the most even first. */
const mostShapes = 8;
/** Ranks that are tried of each shape, as powers of two up to this. */
const mostRank = 64;

const isProduct = (site: Site): boolean => {
  const { op, node } = site;
  const plain = op === 'MatMul' || (op === 'Gemm' && node.float('alpha', 1) === 1 && node.float('beta', 1) === 1);
  return plain && leadingAxes(site) !== undefined;
};

/** Multiplications for one position: cores are applied one after the other. */
const multiplications = (cores: Awaited<ReturnType<typeof tensorTrain>>, columns: number): number => {
  let [outputs, inputs, sum] = [cores[0]!.before, columns, 0];
  for (const core of cores) {
    inputs /= core.columns;
    sum += outputs * inputs * core.before * core.columns * core.rows * core.after;
    outputs *= core.rows;
  }
  return sum / cores[0]!.before;
};

const trainOptions =
  (name: string, order: number, decompose: typeof tensorTrain) =>
  async (request: FormRequest): Promise<FormOption[]> => {
    const { site, positionsPerItem, signal } = request;
    const { rows, columns } = site;
    const lossOf = await lossMeter(request);
    const weight = readSiteMatrix(site);
    const options: FormOption[] = [];
    for (const shape of trainShapes(rows, columns, order, mostShapes)) {
      const tensor = tensorOfMatrix(weight, shape);
      for (let rank = 1; rank <= mostRank; rank *= 2) {
        const cores = await decompose(tensor, shape, { rank }, signal);
        const parameters = trainParameters(cores);
        if (parameters >= rows * columns) break;
        options.push({
          kind: name.replaceAll(' ', '-'),
          label: `${name} ${shape.rows.join('·')} × ${shape.columns.join('·')}, ranks up to ${rank}`,
          cost: {
            ...costOf(site, parameters, positionsPerItem),
            operations: multiplications(cores, columns) * positionsPerItem,
          },
          loss: await lossOf(matrixOfTensor(await expandTrain(cores, signal), shape)),
          data: (target) => writeTrain(target, cores, shape),
        });
      }
    }
    return options;
  };

/** Tensor train of two cores (sums of Kronecker products); lengths are searched. */
export const trainForm: FactorForm = {
  summary: 'matrices as trains of two cores, reshaped in the way that loses least (TT)',
  fits: isProduct,
  options: trainOptions('tensor train', 2, tensorTrain),
};

/** Tensor ring of three cores; lengths are searched. */
export const ringForm: FactorForm = {
  summary: 'matrices as rings of three cores, reshaped in the way that loses least (TR)',
  fits: isProduct,
  options: trainOptions('tensor ring', 3, tensorRing),
};
