import { floatAttribute, intAttribute, type Value } from '../../ir/graph.ts';
import type { GraphBuilder } from '../builder.ts';

export interface NormFields {
  /** Module path; the gain is `path.weight` (width). */
  readonly path: string;
  readonly width: number;
  readonly epsilon: number;
}

export interface RmsNormFields extends NormFields {
  /** Gemma stores the gain less one. */
  readonly gain: 'stored' | 'stored-less-one';
}

const gainOf = (b: GraphBuilder, { path, width, gain }: RmsNormFields): Value => {
  const name = `${path}.weight`;
  return gain === 'stored'
    ? b.weight(name, () => b.weights.take(name, [width]))
    : b.weight(`${path}.gain`, () => b.weights.plusOne(name, [width]));
};

/**
 * x / sqrt(mean(x²) + ε) · gain over the last dimension (Zhang, Sennrich 2019). One operator where the operator set has
 * one, else its parts; the statistics are single precision in any case.
 */
export const rmsNorm = (b: GraphBuilder, x: Value, fields: RmsNormFields): Value => {
  const gain = gainOf(b, fields);
  const { epsilon, path } = fields;
  const { fused, opset } = b.options;
  return b.within(path, () => {
    if (fused || opset >= 23)
      return b.op(fused ? 'SimplifiedLayerNormalization' : 'RMSNormalization', [x, gain], {
        attributes: { axis: intAttribute(-1), epsilon: floatAttribute(epsilon), stash_type: intAttribute(1) },
      });
    const wide = b.widen(x);
    const square = b.op('Pow', [wide, b.float(2, 'float32')]);
    const mean = b.op('ReduceMean', [square, b.ints([-1])], { attributes: { keepdims: intAttribute(1) } });
    const root = b.op('Sqrt', [b.add(mean, b.float(epsilon, 'float32'))]);
    return b.multiply(b.narrow(b.op('Div', [wide, root])), gain);
  });
};

/** Layer normalization over the last dimension with gain `path.weight` and shift `path.bias` (Ba et al. 2016). */
export const layerNorm = (b: GraphBuilder, x: Value, { path, width, epsilon }: NormFields): Value => {
  const parameter = (name: string): Value => b.weight(name, () => b.weights.take(name, [width]));
  const inputs = [x, parameter(`${path}.weight`), parameter(`${path}.bias`)];
  return b.within(path, () =>
    b.op('LayerNormalization', inputs, {
      attributes: { axis: intAttribute(-1), epsilon: floatAttribute(epsilon), stash_type: intAttribute(1) },
    }),
  );
};
