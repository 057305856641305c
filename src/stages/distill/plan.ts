import { siteTensor } from '../../analysis/site-weights.ts';
import { findSites } from '../../analysis/sites.ts';
import type { Model } from '../../ir/model.ts';
import { elementCount } from '../../ir/shape.ts';
import { isPacked, type Trainable } from '../../training/trainable.ts';
import type { SitePlan, StagePlan } from '../stage.ts';
import type { DistillOptions } from './options.ts';
import { studentOf } from './student.ts';
import { selectTrainable } from './trained-weights.ts';

const actionOf = ({ tensor, kind }: Trainable, options: DistillOptions): string => {
  if (isPacked(tensor))
    return options.integers === 'fixed'
      ? `scales of int${tensor.facts.bits} trained`
      : `int${tensor.facts.bits} trained, scales ${options.scales}, zero points ${options.zeros}`;
  return options.adapters && kind === 'matrix' ? `adapter of rank ${options.adapters.rank}` : 'trained';
};

/** Bytes of numbers, gradients, states and copies that a trained number takes. */
const bytesPerNumber = 28;

const trainedRow = (one: Trainable, options: DistillOptions): SitePlan => {
  const { name, op, tensor } = one;
  const rows = tensor.shape[0] ?? 1;
  return {
    site: name,
    op,
    rows,
    columns: elementCount(tensor.shape) / rows,
    action: actionOf(one, options),
    bytesBefore: tensor.byteLength,
    bytesAfter: tensor.byteLength,
  };
};

/** Sites of layers that are left out. */
const droppedRows = ({ program }: Model, kept: readonly number[]): SitePlan[] =>
  findSites(program)
    .filter(({ block }) => block !== undefined && !kept.includes(block))
    .map((site) => ({
      site: site.name,
      op: site.op,
      rows: site.rows,
      columns: site.columns,
      action: 'left out',
      reason: `layer ${site.block} is not kept`,
      bytesBefore: siteTensor(site).byteLength,
      bytesAfter: 0,
    }));

/** What would be trained and what is left out, found without reading a weight. */
export const planDistill = (model: Model, options: DistillOptions): StagePlan => {
  const { layers } = options;
  const student = studentOf(model, options, 0);
  const { chosen, findings } = selectTrainable(student.program, options);
  const numbers = chosen.reduce((sum, { tensor }) => sum + elementCount(tensor.shape), 0);
  return {
    sites: [...(layers ? droppedRows(model, layers) : []), ...chosen.map((one) => trainedRow(one, options))],
    memoryBytes: numbers * bytesPerNumber,
    findings,
  };
};
