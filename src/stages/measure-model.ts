import { type Dataset, takeSamples } from '../calibration/dataset.ts';
import { internalError } from '../errors.ts';
import type { Program } from '../ir/graph.ts';
import { evaluate } from '../metrics/evaluate.ts';
import type { StageContext } from './stage.ts';

type MeasuringContext = Pick<StageContext, 'engine' | 'signal' | 'scratch' | 'threads'>;

const measureOne = async (
  metric: 'kl' | 'latency',
  program: Program,
  reference: Program | undefined,
  dataset: Dataset,
  { engine, signal, scratch, threads }: MeasuringContext,
): Promise<number> => {
  const [result] = await evaluate({
    program,
    reference,
    dataset,
    metrics: [metric],
    engine,
    threads,
    scratchDirectory: scratch.directory,
    emit: () => undefined,
    signal,
  });
  if (!result) throw internalError(`${metric} was not measured`);
  return result.value;
};

/** Samples that a stage measures a divergence on, where nothing else is said. */
const usualSamples = 16;

/** KL to the original in nats an item, on the first `samples` of a dataset. @throws for outputs that are no classes. */
export const measureDivergence = (
  program: Program,
  original: Program,
  dataset: Dataset,
  context: MeasuringContext,
  samples = usualSamples,
): Promise<number> => measureOne('kl', program, original, takeSamples(dataset, samples), context);

/** Median milliseconds of a run over the first sample of a dataset on this machine. */
export const measureLatency = (program: Program, dataset: Dataset, context: MeasuringContext): Promise<number> =>
  measureOne('latency', program, undefined, takeSamples(dataset, 1), context);
