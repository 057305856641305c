import { findBlocks } from '../../../../analysis/blocks.ts';
import { findChannelGroups } from '../../../../analysis/channel-groups/groups.ts';
import { readSiteMatrix } from '../../../../analysis/site-weights.ts';
import type { Site } from '../../../../analysis/sites.ts';
import { blockInfluences } from '../../../../curvature/block-influence.ts';
import { type Curvature, inputMoment } from '../../../../curvature/moments.ts';
import { applyRemoval } from '../../../../curvature/removal/apply.ts';
import type { RemovalPick } from '../../../../curvature/removal/choices.ts';
import { WeightCosts } from '../../../../curvature/removal/costs.ts';
import { removalPools } from '../../../../curvature/removal/pools.ts';
import { CompressError } from '../../../../errors.ts';
import type { Program } from '../../../../ir/graph.ts';
import { inferShapes } from '../../../../ir/inference/index.ts';
import type { Finding } from '../../../../recipe/events.ts';
import { findCandidates } from '../../candidates.ts';
import { costMeasureOf, scopeOf } from '../../measures.ts';
import { leverage } from '../../methods/activations.ts';
import { keptDimensions, queryKeyScores } from '../../methods/modegpt/query-key.ts';
import { layerSparsities } from '../../methods/modegpt/sparsity.ts';
import { valueOutputFactors } from '../../methods/modegpt/value-output.ts';
import { sliceStatistics } from '../../statistics.ts';
import type { TransformInput, TransformMethod } from '../transform.ts';
import { type Attention, findAttentions } from './attention.ts';
import { isPlain, narrowPath, selectGemmBias, selectOperands, setMatrix } from './narrow.ts';

/** What goes of one attention: numbers of units that stay. */
interface Narrower {
  readonly attention: Attention;
  /** Of each head's queries and keys: dimensions, or pairs under rotary positions. */
  readonly units: number;
  /** Of each key head's values. */
  readonly values: number;
}

const rowsOf = (matrix: ArrayLike<number>, columns: number, from: number, count: number): Float64Array =>
  Float64Array.from({ length: count * columns }, (_, index) => matrix[from * columns + index]!);

/** Heads of the queries that read one key head. */
const headsOf = ({ query, key }: Attention, group: number): number[] => {
  const each = query.heads / key.heads;
  return Array.from({ length: each }, (_, index) => group * each + index);
};

const selectRows = (site: Site, rows: readonly number[]): void => {
  const { columns } = site;
  const matrix = readSiteMatrix(site);
  const cut = new Float64Array(rows.length * columns);
  rows.forEach((row, at) => {
    cut.set(matrix.subarray(row * columns, (row + 1) * columns), at * columns);
  });
  setMatrix(site, cut, rows.length, columns);
};

/** Queries and keys lose the dimensions (pairs, under rotary positions) that scores feel least, head by head. */
const narrowScores = async (
  program: Program,
  { attention, units }: Narrower,
  curvature: Curvature,
  signal: AbortSignal,
): Promise<void> => {
  const { query, key, rotary } = attention;
  const { size } = query;
  const whole = rotary ? size / 2 : size;
  if (units >= whole) return;
  const { columns } = query.site;
  const moment = inputMoment(curvature.sites.get(query.site.name)!);
  const [queries, keys] = [readSiteMatrix(query.site), readSiteMatrix(key.site)];
  const byGroup: number[][] = [];
  for (let group = 0; group < key.heads; group++) {
    const [first, ...others] = headsOf(attention, group);
    const scores = await queryKeyScores({
      queries: rowsOf(queries, columns, first! * size, (1 + others.length) * size),
      key: rowsOf(keys, columns, group * size, size),
      size,
      columns,
      inputMoment: moment,
      rotary,
      signal,
    });
    byGroup.push(keptDimensions(scores, units, { rotary }));
  }
  const byHead = byGroup.flatMap((kept, group) => headsOf(attention, group).map(() => kept));
  for (const [path, kept] of [
    [query, byHead],
    [key, byGroup],
  ] as const) {
    const rows = kept.flatMap((dimensions, head) => dimensions.map((dimension) => head * size + dimension));
    selectOperands(program, path, kept);
    selectGemmBias(program, path, rows);
    selectRows(path.site, rows);
    narrowPath(program, path, kept[0]!.length);
  }
};

/** Values and outputs of each key head become the best product of `values` dimensions. */
const narrowValues = async (
  program: Program,
  { attention, values: to }: Narrower,
  curvature: Curvature,
  signal: AbortSignal,
): Promise<void> => {
  const { value, output, key } = attention;
  const { size, site } = value;
  if (to >= size) return;
  const { columns } = site;
  const rows = output.site.rows;
  const moment = inputMoment(curvature.sites.get(site.name)!);
  const [v, o] = [readSiteMatrix(site), readSiteMatrix(output.site)];
  const newV = new Float64Array(key.heads * to * columns);
  const newO = new Float64Array(rows * output.heads * to);
  for (let group = 0; group < key.heads; group++) {
    const heads = headsOf(attention, group);
    const outputs = new Float64Array(heads.length * rows * size);
    heads.forEach((head, at) => {
      for (let row = 0; row < rows; row++)
        for (let k = 0; k < size; k++)
          outputs[(at * rows + row) * size + k] = o[row * output.site.columns + head * size + k]!;
    });
    const decomposition = await valueOutputFactors({
      value: rowsOf(v, columns, group * size, size),
      outputs,
      size,
      columns,
      inputMoment: moment,
      signal,
    });
    const { left, right } = decomposition.factors(to);
    newV.set(right, group * to * columns);
    heads.forEach((head, at) => {
      for (let row = 0; row < rows; row++)
        for (let k = 0; k < to; k++) newO[row * output.heads * to + head * to + k] = left[(at * rows + row) * to + k]!;
    });
  }
  setMatrix(site, newV, key.heads * to, columns);
  setMatrix(output.site, newO, rows, output.heads * to);
  narrowPath(program, value, to);
  narrowPath(program, output, to);
};

/** Numbers that stay at a share that goes: at least one, in multiples where there are enough. */
const stay = (count: number, share: number, multiple: number): number => {
  const kept = Math.max(1, Math.floor(count * (1 - share) + 1e-9));
  return kept > multiple ? kept - (kept % multiple) : kept;
};

/** Elements of a narrower attention beside those of the whole. */
const savedBy = ({ attention, units, values }: Narrower): number => {
  const { query, key, value, output, rotary } = attention;
  const dimensions = rotary ? 2 * units : units;
  const scores = (query.heads + key.heads) * (query.size - dimensions) * query.site.columns;
  return scores + (value.size - values) * (value.heads * value.site.columns + output.heads * output.site.rows);
};

const plan = async (input: TransformInput) => {
  const { program, options, context } = input;
  const found = findChannelGroups(program);
  const candidates = findCandidates(program, found, { ...options, kinds: ['neurons'] });
  const neurons = removalPools(candidates.pools.flatMap(({ groups }) => groups));
  const attentions = findAttentions(program);
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
