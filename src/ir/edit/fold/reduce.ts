import { byteLengthOf, isFloat } from '../../data-type.ts';
import { encodeElements } from '../../elements.ts';
import { readNumbers } from '../../read.ts';
import { elementCount } from '../../shape.ts';
import { transposeView, visitRuns, wholeView } from '../../strided.ts';
import type { Evaluator, EvaluatorTable } from './evaluator.ts';
import { lazyTensor } from './lazy.ts';

/** Reductions of floating-point and small integer constants, summed in double precision in index order. */

type Fold = (elements: Float64Array) => number;

const reduction =
  (fold: Fold): Evaluator =>
  ({ call, tensors, outputs }) => {
    const [tensor] = tensors;
    const [output] = outputs;
    const given = call.axes(1);
    if (!tensor || !output || given === 'unknown') return undefined;
    if (!isFloat(tensor.dtype) && tensor.dtype !== 'int64' && tensor.dtype !== 'int32') return undefined;
    const rank = tensor.shape.length;
    const none = given === 'absent' || given.length === 0;
    if (none && call.node.int('noop_with_empty_axes', 0) === 1) return [tensor];
    const axes = none ? tensor.shape.map((_, axis) => axis) : given.map((axis) => call.axis(axis, rank));
    const kept = tensor.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
    const size = elementCount(axes.map((axis) => tensor.shape[axis]!));
    const count = elementCount(output.shape);
    if (size === 0) return undefined;
    return [
      lazyTensor(output.dtype, output.shape, byteLengthOf(output.dtype, count), () => {
        const numbers = readNumbers(tensor);
        const ordered = new Float64Array(numbers.length);
        visitRuns(transposeView(wholeView(tensor.shape), [...kept, ...axes]), (source, target, length, stride) => {
          for (let step = 0; step < length; step++) ordered[target + step] = numbers[source + step * stride]!;
        });
        const results = Float64Array.from({ length: count }, (_, index) =>
          fold(ordered.subarray(index * size, (index + 1) * size)),
        );
        return encodeElements(output.dtype, results);
      }),
    ];
  };

const sum: Fold = (elements) => elements.reduce((total, element) => total + element, 0);

export const reduceEvaluators: EvaluatorTable = {
  ReduceSum: reduction(sum),
  ReduceMean: reduction((elements) => sum(elements) / elements.length),
  ReduceProd: reduction((elements) => elements.reduce((product, element) => product * element, 1)),
  ReduceMax: reduction((elements) => elements.reduce((a, b) => Math.max(a, b))),
  ReduceMin: reduction((elements) => elements.reduce((a, b) => Math.min(a, b))),
  ReduceSumSquare: reduction((elements) => elements.reduce((total, element) => total + element * element, 0)),
};
