import type { Block } from '../../../analysis/blocks.ts';
import type { Site } from '../../../analysis/sites.ts';
import { type Curvature, gradientMoment } from '../../../curvature/moments.ts';
import type { Value } from '../../../ir/graph.ts';
import { constantOf } from '../../../ir/walk.ts';
import type { BlockOutput } from '../../../training/block-objective.ts';

/** Share of the mean diagonal that is added to B, as in rounding: directions that no gradient was seen in count too. */
const damping = 0.1;

/**
 * The site whose output an output of the block is, additions and Relu aside: what a residual stream gets from the
 * block's last product has the same gradient as the stream (where Relu lets it through).
 */
export const streamSite = (block: Block, output: Value): Site | undefined => {
  const byNode = new Map(block.sites.map((site) => [site.node, site]));
  const own = new Set(block.nodes);
  const open: Value[] = [output];
  for (let value = open.pop(); value; value = open.pop()) {
    const { producer } = value;
    if (!producer || !own.has(producer)) continue;
    const site = byNode.get(producer);
    if (site) return site;
    if (!['Add', 'Relu'].includes(producer.op) || producer.domain !== '') continue;
    for (const input of producer.inputs) if (input && !constantOf(input)) open.push(input);
  }
  return undefined;
};

/** B (width, width) of the channels of an output of a block, damped; undefined where it is not known. */
export const streamMetric = (
  block: Block,
  output: Value,
  curvature: Curvature | undefined,
): BlockOutput['weighting'] => {
  const site = streamSite(block, output);
  const found = site && curvature?.sites.get(site.name);
  const moment = found && gradientMoment(found);
  if (!site || !moment) return undefined;
  const { rows } = site;
  const shape = output.type?.kind === 'tensor' ? output.type.shape : undefined;
  const channels = site.node.op === 'Conv' ? 'first' : 'last';
  if ((channels === 'first' ? shape?.[1] : shape?.at(-1)) !== rows) return undefined;
  let trace = 0;
  for (let index = 0; index < rows; index++) trace += moment[index * rows + index]!;
  if (!(trace > 0)) return undefined;
  const metric = Float32Array.from(moment);
  for (let index = 0; index < rows; index++) metric[index * rows + index]! += (damping * trace) / rows;
  return { matrix: metric, channels };
};
