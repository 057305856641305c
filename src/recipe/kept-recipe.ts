import { parse, stringify } from 'yaml';
import type { KeptSites } from '../curvature/attribution/keep.ts';
import type { PackedTensor } from '../ir/packed-tensor.ts';
import type { RunReport } from '../report/schema.ts';
import { isMap } from './problems.ts';

type Options = Readonly<Record<string, unknown>>;

const listAt = (options: Options, key: string): readonly unknown[] => {
  const value = options[key];
  return Array.isArray(value) ? value : [];
};

/** Options of a quantize stage that keep some weights in higher precision than they asked for. */
const keeping = (options: Options, { units }: KeptSites): Options => {
  if ('precision' in options)
    return { ...options, keep: [...listAt(options, 'keep'), ...units.map(({ unit }) => unit.name)] };
  const inIntegers = options.activations !== undefined && options.activations !== 'none';
  const inTables = isMap(options.weights) && options.weights.codebook !== undefined;
  if (inIntegers || inTables)
    return { ...options, ignore: [...listAt(options, 'ignore'), ...units.map(({ unit }) => unit.name)] };
  const overrides = units.map(({ unit, as }) => ({ match: unit.name, weights: as === 8 ? { bits: 8 } : 'none' }));
  return { ...options, overrides: [...overrides, ...listAt(options, 'overrides')] };
};

/** Bits that the codes of a weight use: codes of 3 bits are stored in 4. */
const usedBits = (packed: PackedTensor): number => {
  const { bits } = packed.facts;
  return bits === 4 && packed.unpackedCodes().every((code) => code < 8) ? 3 : bits;
};

/** How the other model computes the products to keep, where it does not hold them as packed integers. */
const computedAs = ({ units }: KeptSites): Options => {
  const regions = units.map(({ unit }) => unit.pairs[0].second);
  const has = (op: string): boolean => regions.some(({ nodes }) => nodes.some((node) => node.op === op));
  if (has('DynamicQuantizeLinear')) return { activations: 'dynamic' };
  if (has('QuantizeLinear')) return { activations: 'static' };
  if (has('GatherElements')) return { weights: { codebook: 'kmeans' } };
  if (has('MatMulBnb4')) return { weights: { codebook: 'nf4' } };
  const types = regions.map(({ output: { type } }) => (type?.kind === 'tensor' ? type.dtype : undefined));
  const half = types.find((type) => type === 'float16' || type === 'bfloat16');
  return half ? { precision: half } : {};
};

/** The quantize stage that the weights to keep look like: width, groups and grid of the first of them. */
const lookOf = (kept: KeptSites): Options => {
  const packed = kept.units.flatMap(({ unit }) => unit.pairs[0].packed ?? []);
  const [first] = packed;
  if (!first || packed.length < kept.units.length) return computedAs(kept);
  const { groupSize, columns, zeroPoints } = first.facts;
  return {
    weights: {
      bits: usedBits(first),
      group_size: groupSize < columns ? groupSize : 'row',
      sym: zeroPoints === null,
    },
  };
};

/** The stages of a run's recipe, where exactly one of them quantizes. */
const stagesOf = (run: Pick<RunReport, 'recipeText'> | undefined): readonly Options[] | undefined => {
  const recipe: unknown = run && parse(run.recipeText);
  const stages = isMap(recipe) ? recipe.stages : undefined;
  if (!Array.isArray(stages) || !stages.every(isMap)) return undefined;
  return stages.filter((stage) => isMap(stage.quantize)).length === 1 ? stages : undefined;
};

/**
 * Stages of a recipe that keep these weights in higher precision: those of the run that made the model, with what is to be
 * kept named before all else; a quantize stage that looks like the model's weights where it is no run's.
 */
export const keptRecipe = (kept: KeptSites, run?: Pick<RunReport, 'recipeText'>): string => {
  const stages = stagesOf(run) ?? [{ quantize: lookOf(kept) }];
  const changed = stages.map((stage) =>
    isMap(stage.quantize) ? { ...stage, quantize: keeping(stage.quantize, kept) } : stage,
  );
  return stringify({ stages: changed }, { lineWidth: 0 });
};
