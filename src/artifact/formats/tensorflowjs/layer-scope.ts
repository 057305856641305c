import { CompressError } from '../../../errors.ts';
import type { OperatorBuilder } from '../../../ir/build.ts';
import type { Value } from '../../../ir/graph.ts';
import { isStatic, type Shape } from '../../../ir/shape.ts';
import type { Arrangement } from './arrangement.ts';
import type { Layer } from './topology.ts';

/** What a layer is built with. */
export interface LayerScope {
  readonly layer: Layer;
  readonly build: OperatorBuilder;
  /** What the layer reads. */
  readonly inputs: readonly Value[];
  /** The first input's shape; its rank is known. */
  readonly shape: Shape;
  /** The shape of one of the layer's weights in the files; undefined where the files do not have it. */
  weightShape(name: string): readonly number[] | undefined;
  /** One of the layer's weights as a constant of the graph. @param name such as 'kernel'. */
  weight(name: string, arrange: (stored: readonly number[]) => Arrangement): Value;
  /** The same inputs as a layer inside of this one sees them. */
  within(layer: Layer): LayerScope;
}

/** Builds the graph of one layer; gives its output. */
export type LayerBuilder = (scope: LayerScope) => Value;

/** @throws 'unsupported' naming the layer. */
export const refuse = ({ layer }: Pick<LayerScope, 'layer'>, what: string, hint?: string): never => {
  throw new CompressError({
    code: 'unsupported',
    message: `the layer ${layer.name} (${layer.kind}) ${what}`,
    where: { node: layer.name },
    ...(hint === undefined ? {} : { hint }),
  });
};

/** Options of a layer's configuration, in the type that they must have. */
export const optionsOf = (scope: Pick<LayerScope, 'layer'>) => {
  const { config } = scope.layer;
  const wrong = (key: string): never =>
    refuse(scope, `has ${key}: ${JSON.stringify(config[key])}, which is not understood`);
  return {
    number: (key: string, fallback: number): number => {
      const value = config[key] ?? fallback;
      return typeof value === 'number' ? value : wrong(key);
    },
    flag: (key: string, fallback: boolean): boolean => {
      const value = config[key] ?? fallback;
      return typeof value === 'boolean' ? value : wrong(key);
    },
    text: (key: string, fallback: string): string => {
      const value = config[key] ?? fallback;
      return typeof value === 'string' ? value : wrong(key);
    },
    /** A list of numbers; one number stands for `count` of it. */
    numbers: (key: string, count: number, fallback: number): number[] => {
      const value = config[key] ?? fallback;
      if (typeof value === 'number') return new Array<number>(count).fill(value);
      const list: unknown[] = Array.isArray(value) ? value : wrong(key);
      const numbers = list.map((entry) => (typeof entry === 'number' ? entry : wrong(key)));
      return numbers.length === 1 ? new Array<number>(count).fill(numbers[0]!) : numbers;
    },
    /** The raw value, for forms of its own. */
    raw: (key: string): unknown => config[key],
  };
};

/** A dimension that must be fixed. */
export const fixedDim = (scope: LayerScope, axis: number): number => {
  const length = scope.shape.at(axis);
  return typeof length === 'number'
    ? length
    : refuse(scope, `needs a fixed length of axis ${axis} of its input`, 'State the shape in the input layer.');
};

/** The lengths of the axes between batch and channels, where all are fixed. */
export const fixedPositions = ({ shape }: LayerScope): readonly number[] | undefined => {
  const positions = shape.slice(1, -1);
  return isStatic(positions) ? positions : undefined;
};
