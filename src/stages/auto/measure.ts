import { type Dataset, takeSamples } from '../../calibration/dataset.ts';
import { internalError } from '../../errors.ts';
import type { Program } from '../../ir/graph.ts';
import { evaluate } from '../../metrics/evaluate.ts';
import type { StageContext } from '../stage.ts';

/** Samples that a divergence is measured on inside the stage. */
const mostSamples = 16;

const measureOne = async (
  metric: 'kl' | 'latency',
  program: Program,
  reference: Program | undefined,
  dataset: Dataset,
  { engine, signal, scratch, threads }: StageContext,
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

/** KL to the original in nats an item, on the first calibration samples. @throws for outputs that are no classes. */
export const measureDivergence = async (program: Program, original: Program, context: StageContext): Promise<number> =>
  measureOne('kl', program, original, takeSamples(context.calibration!, mostSamples), context);

/** Median milliseconds of a run over the first calibration sample on this machine. */
export const measureLatency = (program: Program, context: StageContext): Promise<number> =>
  measureOne('latency', program, undefined, takeSamples(context.calibration!, 1), context);
