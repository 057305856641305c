import { findSites, type Site } from '../../../analysis/sites.ts';
import { checkSignal } from '../../../execution/interrupt.ts';
import { nameSource } from '../../../ir/edit/names.ts';
import { removeDead } from '../../../ir/edit/remove-dead.ts';
import type { Program, Value } from '../../../ir/graph.ts';
import type { Model } from '../../../ir/model.ts';
import type { Finding } from '../../../recipe/events.ts';
import { selectSites } from '../../select-sites.ts';
import type { StageContext, StageResult } from '../../stage.ts';
import { correctBiases } from './bias/correct.ts';
import { collectRanges } from './calibrate.ts';
import { GridConstants } from './constants.ts';
import { equalizeProgram } from './equalize/run.ts';
import { codeRanges, type Grid, gridOf } from './grid.ts';
import { newLowering } from './integer/form.ts';
import { lowerSites } from './integer/lower.ts';
import type { StaticOptions } from './options.ts';
import { prepareProgram } from './prepare/prepare.ts';
import { insertActivations } from './qdq/insert-activations.ts';
import { insertWeight, scaleFloors } from './qdq/insert-weights.ts';
import { integerOperatorOf } from './qdq/operators.ts';
import { planQdq, type QdqPlan } from './qdq/plan.ts';
import { hullOf, type Range } from './ranges/range-method.ts';
import { roundWeights } from './round-weights.ts';
import { smoothProgram } from './smooth/run.ts';
import { WeightStore, weightLimit } from './weight-store.ts';

/** Operators that multiply an activation by a weight in integers. */
const productOps = new Set<Site['op']>(['Conv', 'ConvTranspose', 'Gemm', 'MatMul']);

/** Values whose ranges decide the grids: members of groups that do not merely repeat another member's values. */
const observedValues = (plan: QdqPlan): Value[] =>
  [...plan.grids.keys()].filter((value) => {
    const node = value.producer;
    const repeats = node && plan.integerNodes.has(node) && integerOperatorOf(node)?.behaviour === 'passing';
    return !repeats || node.op === 'Concat';
  });

/** The range of each group: the hull of its members' ranges. Groups that were never observed are missing. */
const groupRanges = (plan: QdqPlan, ranges: ReadonlyMap<Value, Range>): Map<Value, Range> => {
  const hulls = new Map<Value, Range>();
  for (const [value, root] of plan.grids) {
    const range = ranges.get(value);
    const known = hulls.get(root);
    if (range) hulls.set(root, known ? hullOf(known, range) : range);
  }
  return hulls;
};

/** Members of groups that have no range. */
const valuesWithoutRange = (plan: QdqPlan, hulls: ReadonlyMap<Value, Range>): Value[] =>
  [...plan.grids].filter(([, root]) => !hulls.has(root)).map(([value]) => value);

/** True when a product reads or makes one of these values, through a Relu or Clip too. */
const touches = (site: Site, plan: QdqPlan, values: ReadonlySet<Value>): boolean =>
  values.has(site.input) ||
  values.has(site.output) ||
  [...plan.clamps].some(([value, clamp]) => clamp.inputs[0] === site.output && values.has(value));

interface Calibrated {
  readonly plan: QdqPlan;
  readonly hulls: ReadonlyMap<Value, Range>;
  /** Products without ranges, each with the reason. */
  readonly unobserved: ReadonlyMap<Site, string>;
}

const loopReason = 'its values inside a loop cannot be observed (activations: dynamic needs no ranges)';

/** Plans, observes, and plans again without what the calibration data never reached. */
const calibrate = async (
  program: Program,
  products: readonly Site[],
  options: StaticOptions,
  context: StageContext,
): Promise<Calibrated> => {
  let plan = planQdq(program, products, options);
  const { ranges, hidden } = await collectRanges(
    { program, values: observedValues(plan), ranges: options.ranges, levels: 256, symmetric: options.symmetric },
    context,
  );
  const unobserved = new Map<Site, string>();
  const without = new Set<Value>();
  for (;;) {
    const hulls = groupRanges(plan, ranges);
    const unknown = valuesWithoutRange(plan, hulls);
    if (unknown.length === 0) return { plan, hulls, unobserved };
    for (const value of unknown) without.add(value);
    for (const site of plan.products) {
      if (!touches(site, plan, without)) continue;
      const inLoop = [site.input, site.output].some((value) => hidden.has(value));
      unobserved.set(site, inLoop ? loopReason : 'the calibration data never reached it');
    }
    const rest = plan.products.filter((site) => !unobserved.has(site));
    plan = planQdq(program, rest, { ...options, without });
  }
};

/** Scales inputs of products so that one range suits all of their channels. */
const smoothStatic = async (
  program: Program,
  options: StaticOptions,
  context: StageContext,
): Promise<readonly Finding[]> => {
  const { smooth, type, symmetric, weightBits, granularity } = options;
  if (smooth === 'none') return [];
  const { chosen } = selectSites(findSites(program), options);
  const input = { kind: 'static', type, symmetric } as const;
  const products = chosen.filter((site) => productOps.has(site.op));
  const { integerMade } = planQdq(program, products, options);
  const request = {
    choice: smooth,
    input,
    limit: weightLimit(weightBits),
    granularity,
    isFloat: (value: Value) => !integerMade.has(value),
  };
  return smoothProgram(program, products, request, context);
};

/** Lets biases take back what the rounding of weights does to the mean of outputs, where that is asked for. */
const correctStatic = async (
  program: Program,
  products: readonly Site[],
  options: StaticOptions,
  context: StageContext,
): Promise<readonly Finding[]> =>
  options.correctBias ? correctBiases(program, products, weightRequest(options), context) : [];

/** How the integers of products' weights are stored. */
const weightRequest = ({ weightBits, granularity, weightType }: StaticOptions) =>
  ({ limit: weightLimit(weightBits), granularity, dtype: weightType, arrangement: 'plain' }) as const;

/** Puts integers, scales and their operators into the program. */
const rewrite = (
  program: Program,
  { plan, hulls }: Calibrated,
  others: readonly Site[],
  options: StaticOptions,
  finished: (site: Site, form: string) => void,
): void => {
  const names = nameSource(program.graph);
  const store = new WeightStore(names);
  const constants = new GridConstants(names);
  const placement = options.symmetric ? 'symmetric' : 'asymmetric';
  const grids = new Map<Value, Grid>();
  for (const [root, range] of hulls) grids.set(root, gridOf(range, codeRanges[options.type], placement));
  const inputGrid = (site: Site): Grid => grids.get(plan.grids.get(site.input)!)!;
  const floors = scaleFloors(plan.products, (site) => inputGrid(site).scale);
  const rows = plan.products.map((site) => ({ site, grid: inputGrid(site) }));
  insertActivations({ program, plan, grids, names, constants });
  for (const { site, grid } of rows) {
    const weight = store.store(site, {
      ...weightRequest(options),
      home: site.graph,
      floors: floors.get(site.weight),
    });
    insertWeight({ site, weight, inputGrid: grid, store, names });
    finished(site, 'QDQ');
  }
  lowerSites(others, newLowering(program, names, { ...options, perToken: false }), finished);
  removeDead(program);
};

/**
 * Static 8-bit quantization in QDQ form: ranges of activations from calibration data, weights and biases in integers.
 * onnxruntime and other runtimes turn the form into integer kernels. Embeddings and recurrent
 * weights, which the form does not cover, take the same integer form as in dynamic quantization.
 * @throws CompressError 'data' without calibration data; 'numeric' for values or weights that are not finite.
 */
export const quantizeStatic = async (
  model: Model,
  options: StaticOptions,
  context: StageContext,
): Promise<StageResult> => {
  const prepared = prepareProgram(model.program);
  const equalized = options.equalize
    ? equalizeProgram(prepared.program, selectSites(findSites(prepared.program), options).chosen)
    : [];
  const smoothed = await smoothStatic(prepared.program, options, context);
  const rounded = await roundWeights({ ...model, program: prepared.program }, options, context);
  const { program } = rounded.model;
  const { chosen, findings: unmatched } = selectSites(findSites(program), options);
  const products = chosen.filter((site) => productOps.has(site.op));
  const corrected = await correctStatic(program, products, options, context);
  const calibrated = await calibrate(program, products, options, context);
  const others = chosen.filter((site) => !productOps.has(site.op));
  rewrite(program, calibrated, others, options, (site, form) => {
    checkSignal(context.signal);
    context.emit({ type: 'site-finished', stage: 'quantize', site: site.name, facts: { form } });
  });
  const kept = [...calibrated.unobserved].map(
    ([site, reason]): Finding => ({ kind: 'fallback', text: `kept in float: ${reason}`, site: site.name }),
  );
  return {
    model: { ...model, program },
    findings: [
      ...prepared.findings,
      ...unmatched,
      ...equalized,
      ...smoothed,
      ...rounded.findings,
      ...corrected,
      ...kept,
    ],
  };
};
