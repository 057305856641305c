import { findBlocks } from '../../../../analysis/blocks.ts';
import { findChannelGroups } from '../../../../analysis/channel-groups/groups.ts';
import type { Site } from '../../../../analysis/sites.ts';
import { blockInfluences } from '../../../../curvature/block-influence.ts';
import { applyRemoval } from '../../../../curvature/removal/apply.ts';
import type { RemovalPick } from '../../../../curvature/removal/choices.ts';
import { WeightCosts } from '../../../../curvature/removal/costs.ts';
import { removalPools } from '../../../../curvature/removal/pools.ts';
import { CompressError } from '../../../../errors.ts';
import type { Program } from '../../../../ir/graph.ts';
import { inferShapes } from '../../../../ir/inference/index.ts';
import { inferFacts } from '../../../../ir/inference/infer.ts';
import type { Finding } from '../../../../recipe/events.ts';
import { findCandidates } from '../../candidates.ts';
import { costMeasureOf, scopeOf } from '../../measures.ts';
import { leverage } from '../../methods/activations.ts';
import { layerSparsities } from '../../methods/modegpt/sparsity.ts';
import { sliceStatistics } from '../../statistics.ts';
import type { TransformInput, TransformMethod } from '../transform.ts';
import { type Attentions, findAttentions } from './attention.ts';
import { type Narrower, narrowScores, narrowValues, savedBy } from './heads.ts';
import { isPlain, pathObstacle } from './narrow.ts';

/** Numbers that stay at a share that goes: at least one, in multiples where there are enough. */
const stay = (count: number, share: number, multiple: number): number => {
  const kept = Math.max(1, Math.floor(count * (1 - share) + 1e-9));
  return kept > multiple ? kept - (kept % multiple) : kept;
};

/** Attentions whose heads may become narrower; the others with the reason. */
const attentionsThatCan = (program: Program): Attentions => {
  const { found, left } = findAttentions(program);
  const { facts } = inferFacts(program);
  const reasons = found.map(({ query, key, value, output }) =>
    [query, key, value, output].map((path) => pathObstacle(path, facts)).find((why) => why !== undefined),
  );
  return {
    found: found.filter((_, at) => reasons[at] === undefined),
    left: [
      ...left,
      ...found.flatMap(({ output }, at) =>
        reasons[at] === undefined ? [] : [{ name: output.site.name, reason: reasons[at] }],
      ),
    ],
  };
};

const plan = async (input: TransformInput) => {
  const { program, options, context } = input;
  const found = findChannelGroups(program);
  const candidates = findCandidates(program, found, { ...options, kinds: ['neurons'] });
  const neurons = removalPools(candidates.pools.flatMap(({ groups }) => groups));
  const attentions = attentionsThatCan(program);
  const costs = new WeightCosts(program, scopeOf(options.measure));
  if (neurons.length === 0 && attentions.found.length === 0)
    throw new CompressError({
      code: 'unsupported',
      message: 'modegpt finds neither attentions nor neurons in this model',
      hint: 'Method obs works on any graph.',
    });
  const blocks = findBlocks(program);
  const blockOf = (site: Site): number =>
    blocks.findIndex((block) => block.sites.some(({ node }) => node === site.node));
  const influences = await blockInfluences({ program, dataset: context.calibration!, context });
  const layers = [
    ...new Set([
      ...neurons.map(({ consumers }) => blockOf(consumers[0]!.site)),
      ...attentions.found.map(({ output }) => blockOf(output.site)),
    ]),
  ];
  const known = layers.map((layer) => influences.get(blocks[layer]?.index ?? -1) ?? 0);
  const choose = (mean: number) => {
    const even = options.allocation === 'uniform';
    const shares = even ? layers.map(() => mean) : layerSparsities(known, mean);
    const shareOf = (site: Site): number => shares[layers.indexOf(blockOf(site))]!;
    const kept = neurons.map((pool) => stay(pool.units.length, shareOf(pool.consumers[0]!.site), options.multiple));
    const narrower = attentions.found.map((attention): Narrower => {
      const share = shareOf(attention.output.site);
      const { size } = attention.query;
      return {
        attention,
        units: stay(attention.rotary ? size / 2 : size, share, 1),
        values: isPlain(attention.value) ? stay(attention.value.size, share, options.multiple) : attention.value.size,
      };
    });
    return { kept, narrower };
  };
  const total = costs.total[costMeasureOf(options.measure)];
  const leftOf = ({ kept, narrower }: ReturnType<typeof choose>): number => {
    const gone = neurons.reduce((sum, pool, at) => {
      const each = costs.saving(pool.units[0]!.group, pool.units[0]!.channel)[costMeasureOf(options.measure)];
      return sum + each * (pool.units.length - kept[at]!);
    }, 0);
    return total - gone - narrower.reduce((sum, one) => sum + savedBy(one), 0);
  };
  return { found, neurons, attentions, costs, choose, leftOf, findings: candidates.findings };
};

/** Means of the shares that are tried. */
const grid = 400;

const apply = async (input: TransformInput): Promise<Finding[]> => {
  const { program, options, context, most } = input;
  const { signal } = context;
  if (!context.calibration) throw new CompressError({ code: 'data', message: 'method modegpt needs calibration data' });
  const { found, neurons, attentions, costs, choose, leftOf, findings } = await plan(input);
  const chosen = Array.from({ length: grid }, (_, index) => choose((0.8 * (index + 1)) / grid)).find(
    (one) => leftOf(one) <= most,
  );
  if (!chosen)
    throw new CompressError({
      code: 'mismatch',
      message: `the ratio would leave less than a fifth of the layers that modegpt can cut: ${Math.ceil(leftOf(choose(0.8)))} ${options.measure} stay, at most ${Math.floor(most)} may`,
      where: { key: 'ratio' },
      hint: 'Ask for less, or remove channels (method obs).',
    });
  const sites = [
    ...neurons.flatMap(({ consumers }) => consumers.map(({ site }) => site)),
    ...attentions.found.flatMap(({ query, value }) => [query.site, value.site]),
  ];
  const statistics = await sliceStatistics('inputs', program, [...new Set(sites)], context);
  const curvature = statistics.curvature!;
  const picks: RemovalPick[] = [];
  for (const [at, pool] of neurons.entries()) {
    const { order } = await leverage.rank({ pool, costs, statistics, damp: options.damp, signal });
    picks.push({ pool, units: order.slice(0, pool.units.length - chosen.kept[at]!) });
  }
  await applyRemoval(program, found, picks, { curvature, damp: options.damp, signal });
  for (const narrower of chosen.narrower) {
    await narrowScores(program, narrower, curvature, signal);
    await narrowValues(program, narrower, curvature, signal);
  }
  inferShapes(program, { statedTypes: 'replace' });
  return [
    ...findings,
    ...chosen.narrower.map(
      ({ attention, units, values }): Finding => ({
        kind: 'fact',
        site: attention.output.site.name,
        text: `heads keep ${attention.rotary ? 2 * units : units} of ${attention.query.size} dimensions of queries and keys and ${values} of ${attention.value.size} of values`,
      }),
    ),
    ...attentions.left.map(
      ({ name, reason }): Finding => ({ kind: 'fact', text: `${name} keeps its heads: ${reason}` }),
    ),
  ];
};

/** MoDeGPT (Lin et al. 2025): Nyström for neurons, chosen dimensions of queries and keys, low rank of values and outputs. */
export const moDeGpt: TransformMethod = {
  summary: 'neurons by leverage, narrower queries and keys, values and outputs as one product (MoDeGPT)',
  keepsStreams: true,
  apply,
};
