import { CompressError, internalError } from '../errors.ts';
import { setConstant } from '../ir/edit/replace.ts';
import { arrayOfMatrix, matrixOfArray } from '../ir/matrix-layout.ts';
import { type PackedFacts, PackedTensor } from '../ir/packed-tensor.ts';
import { readFloats } from '../ir/read.ts';
import { MemoryTensor, type Tensor } from '../ir/tensor.ts';
import { constantOf } from '../ir/walk.ts';
import { floatToBytes } from '../kernels/index.ts';
import type { Site } from './sites.ts';

/** The constant of a site. */
export const siteTensor = (site: Site): Tensor => {
  const tensor = constantOf(site.weight);
  if (tensor) return tensor;
  throw internalError('the weight of a site is no constant any more: look sites up again after editing', {
    site: site.name,
  });
};

type WeightType = PackedFacts['dtype'];

const weightTypeOf = (site: Site): WeightType => {
  const { dtype } = siteTensor(site);
  if (dtype === 'float32' || dtype === 'float16' || dtype === 'bfloat16') return dtype;
  throw new CompressError({
    code: 'unsupported',
    message: `weights of type ${dtype} cannot be replaced`,
    where: { site: site.name, tensor: site.weight.name },
    hint: 'Convert the model to float32 first (quantize: { precision: float32 }).',
  });
};

/** The weight of a site as a matrix (rows, columns), whatever its layout and element type. Not to be changed in place. */
export const readSiteMatrix = (site: Site): Float32Array => {
  const tensor = siteTensor(site);
  if (tensor instanceof PackedTensor && tensor.facts.layout === site.layout) return tensor.matrix();
  return matrixOfArray(readFloats(tensor), tensor.shape, site.layout);
};

/** Replaces the weight of a site by a matrix (rows, columns) of the same size; element type and layout stay. */
export const writeSiteMatrix = (site: Site, matrix: Float32Array): void => {
  const dtype = weightTypeOf(site);
  const { shape } = siteTensor(site);
  if (matrix.length !== site.rows * site.columns)
    throw internalError(`${matrix.length} weights given for ${site.rows} × ${site.columns}`, { site: site.name });
  const bytes = floatToBytes(arrayOfMatrix(matrix, shape, site.layout), dtype);
  setConstant(site.weight, new MemoryTensor(dtype, shape, bytes));
};

/** What a rounding method finds for a site: the facts that the site does not know itself. */
export type SitePacking = Omit<PackedFacts, 'dtype' | 'shape' | 'layout' | 'rows' | 'columns'>;

/** Replaces the weight of a site by integers with scales. */
export const packSite = (site: Site, packing: SitePacking): void => {
  const dtype = weightTypeOf(site);
  const { shape } = siteTensor(site);
  const { layout, rows, columns } = site;
  setConstant(site.weight, new PackedTensor({ ...packing, dtype, shape, layout, rows, columns }));
};
