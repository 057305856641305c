import { resolve } from 'node:path';
import { withPackedWeights } from '../artifact/formats/onnx/lift/lift.ts';
import { openModel } from '../artifact/open.ts';
import { type Dataset, takeSamples } from '../calibration/dataset.ts';
import { type Attribution, type AttributionMethod, attributeDivergence } from '../curvature/attribution/attribute.ts';
import { CompressError } from '../errors.ts';
import { onnxruntimeEngine } from '../execution/onnxruntime.ts';
import type { Program } from '../ir/graph.ts';
import { nodesWithin } from '../ir/walk.ts';
import { prepareProgram } from '../stages/quantize/activations/prepare/prepare.ts';
import { Cache, cacheDirectory } from './cache.ts';
import { readDatasets } from './datasets.ts';
import type { Emit } from './events.ts';
import { joinDatasets } from './joined-dataset.ts';
import { attempt, datasetContext, openDatasets } from './prepare.ts';
import { Problems } from './problems.ts';
import { builtRecipe } from './source.ts';
import { toolFingerprint } from './tool.ts';

/** Two models whose divergence is to be followed back to weights. Paths start at `directory`. */
export interface ModelAttributionRequest {
  readonly first: string;
  readonly second: string;
  /** Datasets as recipes write them. */
  readonly data: readonly unknown[];
  /** Samples that are looked at, the first ones; undefined: as many as a language model or another needs. */
  readonly samples: number | undefined;
  readonly by: AttributionMethod | 'auto';
  /** Share of the divergence that higher precision is to take away. */
  readonly gain: number;
  readonly seed: number;
  readonly directory: string;
  readonly emit: Emit;
  readonly signal: AbortSignal;
}

/** Bytes of activations that are kept in memory; more are spilled. */
const maxMemoryBytes = 2 ** 30;

const integerOperators = new Set([
  'QuantizeLinear',
  'DynamicQuantizeLinear',
  'MatMulInteger',
  'ConvInteger',
  'DynamicQuantizeLSTM',
]);

/** A window of tokens has many items, an image one. */
const samplesFor = async (dataset: Dataset): Promise<number> =>
  dataset.length > 0 && (await dataset.sample(0)).kind === 'tokens' ? 8 : 128;

/** True where a program rounds activations: it was put into a standard form before. */
const computesInIntegers = ({ graph }: Program): boolean => {
  for (const node of nodesWithin(graph)) if (integerOperators.has(node.op)) return true;
  return false;
};

/**
 * Opens two models and follows the divergence of the second from the first back to weights.
 * @throws CompressErrors with everything that is wrong with the request; 'mismatch' where the models have nothing in common.
 */
export const attributeModels = async (request: ModelAttributionRequest): Promise<Attribution> => {
  const { directory, seed, emit, signal, by, gain } = request;
  const problems = new Problems(builtRecipe(request));
  const open = (key: 'first' | 'second') =>
    attempt(problems, [key], async () => withPackedWeights(await openModel(resolve(directory, request[key]))));
  const [first, second] = [await open('first'), await open('second')];
  const named = readDatasets(problems, ['data'], request.data);
  const context = first && datasetContext(first, { baseDirectory: directory, seed });
  const datasets = context ? await openDatasets(problems, named, context) : [];
  problems.throwIfAny();
  const dataset = joinDatasets(datasets.map((one) => one.dataset));
  if (!first || !second || !dataset)
    throw new CompressError({
      code: 'usage',
      message: 'there are no data to follow errors on',
      where: { flag: '--data' },
    });
  const alike = computesInIntegers(second.program) && !computesInIntegers(first.program);
  const cache = new Cache(cacheDirectory(directory));
  return cache.withScratch(async (scratch) =>
    attributeDivergence({
      first: alike ? prepareProgram(first.program).program : first.program,
      second: second.program,
      dataset: takeSamples(dataset, request.samples ?? (await samplesFor(dataset))),
      by,
      gain,
      context: {
        engine: onnxruntimeEngine,
        maxMemoryBytes,
        seed,
        shared: cache.statistics(toolFingerprint()),
        scratch: { directory: scratch },
        emit,
        signal,
      },
    }),
  );
};
