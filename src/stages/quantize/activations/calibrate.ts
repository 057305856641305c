import type { NumericArray } from '../../../calibration/dataset.ts';
import { CompressError, internalError } from '../../../errors.ts';
import { observeProgram } from '../../../execution/observe.ts';
import type { Program, Value } from '../../../ir/graph.ts';
import type { StageContext } from '../../stage.ts';
import { exposeValues } from './expose.ts';
import type { RangeChoice } from './options.ts';
import { extremesOf, type Range, type RangeObserver } from './ranges/range-method.ts';
import { rangeMethods } from './ranges/table.ts';

export interface CalibrationRequest {
  readonly program: Program;
  readonly values: readonly Value[];
  readonly ranges: RangeChoice;
  /** Codes of the integer type. */
  readonly levels: number;
  readonly symmetric: boolean;
}

export interface CollectedRanges {
  readonly ranges: ReadonlyMap<Value, Range>;
  /** Values in bodies of loops, which nothing outside can see. */
  readonly hidden: ReadonlySet<Value>;
}

const floatsOf = (array: NumericArray, name: string): Float32Array => {
  if (array.data instanceof Float32Array) return array.data;
  throw internalError(`value ${name} is ${array.dtype}, not float32`);
};

const refuseNonFinite = (values: Float32Array, name: string): void => {
  if (values.length === 0 || extremesOf(values).finite) return;
  throw new CompressError({
    code: 'numeric',
    message: `the model computes infinities or NaN on the calibration data`,
    where: { tensor: name },
    hint: 'Check the preprocessing of the data; leave the part of the model that masks with infinities out (ignore).',
  });
};

/**
 * Ranges of values over the calibration data, in one pass for all of them. Values inside branches of If are observed
 * when their branch is taken; a value that is never computed, or that is hidden in a loop, has no range.
 * @throws CompressError 'data' without calibration data, 'numeric' naming the value that is not finite.
 */
export const collectRanges = async (request: CalibrationRequest, context: StageContext): Promise<CollectedRanges> => {
  const { calibration, engine, scratch, emit, signal } = context;
  if (!calibration || calibration.length === 0)
    throw new CompressError({
      code: 'data',
      message: 'static quantization needs calibration data',
      hint: 'Name a dataset under data.calibration, or use activations: dynamic, which needs none.',
    });
  const { program, places, hidden } = exposeValues(request.program, request.values);
  const purpose = {
    levels: request.levels,
    symmetric: request.symmetric,
    percentile: request.ranges.percentile,
  };
  const observers = new Map<Value, RangeObserver>();
  const observations = [...places].map(([value, place]) => {
    const range = rangeMethods[request.ranges.method].observer(purpose);
    observers.set(value, range);
    const observe = (array: NumericArray): void => {
      const values = floatsOf(array, value.name);
      refuseNonFinite(values, value.name);
      range.observe(values);
    };
    return { value: place, observer: { observe } };
  });
  await observeProgram({ program, dataset: calibration, engine, observations, task: 'ranges', scratch, emit, signal });
  const ranges = new Map<Value, Range>();
  for (const [value, observer] of observers) {
    const range = observer.range();
    if (range) ranges.set(value, range);
  }
  return { ranges, hidden: new Set(hidden) };
};
