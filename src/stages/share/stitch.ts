import { measureCost } from '../../analysis/cost.ts';
import { configOfLayers } from '../../analysis/layer-numbers.ts';
import type { NumericArray } from '../../calibration/dataset.ts';
import { AffineMoments, affineParts } from '../../curvature/affine-fit.ts';
import { ridgeCorrection } from '../../curvature/refit.ts';
import { CompressError, internalError } from '../../errors.ts';
import { floatsOfArray } from '../../execution/arrays.ts';
import { observeProgram } from '../../execution/observe.ts';
import { OperatorBuilder } from '../../ir/build.ts';
import { cloneProgram } from '../../ir/clone.ts';
import { mergeConstants } from '../../ir/edit/merge-constants.ts';
import { removeDead } from '../../ir/edit/remove-dead.ts';
import { replaceAllUses } from '../../ir/edit/replace.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import { blockKey, type Model } from '../../ir/model.ts';
import { tensorType } from '../../ir/shape.ts';
import type { Finding } from '../../recipe/events.ts';
import type { StageContext, StageResult } from '../stage.ts';
import { joinPrograms } from './join-programs.ts';
import { layersOf } from './repeat-layers.ts';

/** Where the front of one model and the back of another are sewn together. */
export interface Stitch {
  /** Path of the model that goes on. */
  readonly with: string;
  /** Last layer of the present model. */
  readonly after: number;
  /** First layer of the other; as many as it has: only its head. */
  readonly from: number;
}

/** λ as a share of the mean square of the stream's channels. */
const stitchRidge = 1e-4;

const widthOf = (value: Value): number => {
  const width = value.type?.kind === 'tensor' ? value.type.shape?.at(-1) : undefined;
  if (typeof width === 'number') return width;
  throw new CompressError({
    code: 'unsupported',
    message: `the width of the stream ${value.name} is not known`,
    hint: 'Start from checkpoint folders: their families state shapes.',
  });
};

const checkPlace = (key: string, place: number, least: number, most: number): void => {
  if (place >= least && place <= most) return;
  throw new CompressError({
    code: 'usage',
    message: `${place} is no layer to stitch at: there are ${least} to ${most}`,
    where: { key: `stitch.${key}` },
  });
};

/** Numbers of blocks in order, without gaps. */
const numberBlocks = (program: Program): void => {
  const numbers = new Map<string, string>();
  for (const node of program.graph.nodes) {
    const block = node.metadata.get(blockKey);
    if (block === undefined) continue;
    if (!numbers.has(block)) numbers.set(block, String(numbers.size));
    node.metadata.set(blockKey, numbers.get(block)!);
  }
};

/** Constants up to this size are compared, so that what both models have is stored once. */
const mostCompared = 2 ** 28;

/**
 * The front of a model, a linear map, and the back of another model of the family (SN-Net, Pan et al. 2023, section 3.2):
 * the map takes one stream into the other by least squares over the calibration data, from the identity where both are
 * equally wide, so that a model stitched with itself is itself.
 * @throws 'usage' for places that are none, 'mismatch' for models that take different inputs; as `layersOf`.
 */
export const stitchModels = async (model: Model, stitch: Stitch, context: StageContext): Promise<StageResult> => {
  const { calibration: dataset, models, engine, scratch, emit, signal } = context;
  if (!dataset || !models) throw internalError('stitching was started without calibration data or other models');
  const other = await models.open(stitch.with);
  const program = cloneProgram(model.program);
  inferShapes(program);
  const back = cloneProgram(other.program);
  inferShapes(back);
  const [layers, later] = [layersOf(program), layersOf(back)];
  checkPlace('after', stitch.after, 0, layers.length - 1);
  checkPlace('from', stitch.from, 0, later.length);
  const front = layers[stitch.after]!.output;
  const goal = later[stitch.from]?.input ?? later.at(-1)!.output;
  const joined = joinPrograms(program, back, layers.length);
  const target = joined.valueOf(goal);
  const [width, rows] = [widthOf(front), widthOf(goal)];
  const moments = new AffineMoments(width, rows);
  const seen = new Map<number, NumericArray>();
  const take = async (array: NumericArray, run: number, isFront: boolean): Promise<void> => {
    const waiting = seen.get(run);
    if (!waiting) {
      seen.set(run, array);
      return;
    }
    seen.delete(run);
    const [x, y] = (isFront ? [array, waiting] : [waiting, array]).map((one) => Float64Array.from(floatsOfArray(one)));
    // Where both are equally wide the identity is there to begin with: only the difference is to be made up for.
    const missing = width === rows ? y!.map((value, at) => value - x![at]!) : y!;
    await moments.add(x!, missing, x!.length / width, signal);
  };
  const { graph } = program;
  const outputs = back.graph.outputs.map((value) => ({
    name: value.name,
    type: value.type,
    value: joined.valueOf(value),
  }));
  const observations = [
    { value: front, observer: { observe: (array: NumericArray, run: number) => take(array, run, true) } },
    { value: target, observer: { observe: (array: NumericArray, run: number) => take(array, run, false) } },
  ];
  await observeProgram({ program, dataset, engine, observations, task: 'stitching', scratch, emit, signal });
  const { delta, gained } = await ridgeCorrection({
    cross: moments.cross,
    inputs: moments.inputs,
    rows,
    columns: width + 1,
    ridge: stitchRidge,
    signal,
  });
  const explained = moments.energy > 0 ? gained / moments.energy : 1;
  const { weight, bias } = affineParts(delta, moments);
  const turned = new Float32Array(weight.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < width; column++)
      turned[column * rows + row] = weight[row * width + column]! + (width === rows && row === column ? 1 : 0);
  const first = graph.nodes[graph.nodes.indexOf(target.producer!) + 1];
  const b = new OperatorBuilder(graph, 'stitch', first);
  const product = b.call('MatMul', [front, b.floats([width, rows], turned, 'float32')]);
  const sewn = b.add(product, b.floats([rows], bias, 'float32'));
  sewn.type = target.type ?? tensorType('float32');
  for (const node of [product.producer!, sewn.producer!])
    node.metadata.set(blockKey, String(layers[stitch.after]!.number));
  replaceAllUses(target, sewn, { graph });
  for (const value of graph.outputs) value.name = `${value.name}.front`;
  graph.outputs.splice(
    0,
    graph.outputs.length,
    ...outputs.map(({ name, type, value }) => {
      const final = value === target ? sewn : value;
      final.name = name;
      final.type = type;
      return final;
    }),
  );
  removeDead(graph);
  mergeConstants(program, { maxBytes: mostCompared });
  numberBlocks(program);
  inferShapes(program);
  const sources = [
    ...layers.slice(0, stitch.after + 1).map((_, layer) => layer),
    ...later.slice(stitch.from).map(() => stitch.after),
  ];
  const config = configOfLayers(model.config, sources, layers.length);
  const cost = measureCost(program);
  const findings: Finding[] = [
    {
      kind: 'fact',
      text: `${stitch.after + 1} of ${layers.length} layers go on in ${later.length - stitch.from} of ${later.length} of ${stitch.with}: the map makes up for ${(100 * explained).toPrecision(3)} % of the difference of the streams, ${cost.storedBytes} bytes of constants`,
      facts: { explained, layers: sources.length, bytes: cost.storedBytes },
    },
  ];
  return { model: { ...model, program, config }, findings };
};
