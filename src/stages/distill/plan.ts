import type { Model } from '../../ir/model.ts';
import { elementCount } from '../../ir/shape.ts';
import { isPacked, type Trainable } from '../../training/trainable.ts';
import type { SitePlan, StagePlan } from '../stage.ts';
import { dropLayers } from './drop-layers.ts';
import type { DistillOptions } from './options.ts';
import { selectTrainable } from './trained-weights.ts';

const actionOf = ({ tensor, kind }: Trainable, options: DistillOptions): string => {
  if (isPacked(tensor)) return `int${tensor.facts.bits} trained, scales ${options.scales}`;
  return options.adapters && kind === 'matrix' ? `adapter of rank ${options.adapters.rank}` : 'trained';
};

/** What would be trained, found without reading a weight. */
export const planDistill = (model: Model, options: DistillOptions): StagePlan => {
  const student = options.layers ? dropLayers(model, options.layers) : model;
  const { chosen, findings } = selectTrainable(student.program, options);
  const sites = chosen.map((one): SitePlan => {
    const { name, op, tensor } = one;
    const count = elementCount(tensor.shape);
    const rows = tensor.shape[0] ?? 1;
    const bytes = tensor.byteLength;
    return {
      site: name,
      op,
      rows,
      columns: count / rows,
      action: actionOf(one, options),
      bytesBefore: bytes,
      bytesAfter: bytes,
    };
  });
  const numbers = chosen.reduce((sum, { tensor }) => sum + elementCount(tensor.shape), 0);
  return { sites, memoryBytes: numbers * 4 * 7, findings };
};
