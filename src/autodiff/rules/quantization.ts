import { rankOf, sumToShapeOf } from '../broadcast.ts';
import type { Rule } from '../rule.ts';

/**
 * QuantizeLinear followed by DequantizeLinear, straight through (Bengio, Léonard, Courville 2013): rounding is taken as
 * the identity. Integers carry no gradient in the graph, so the pair is differentiated as one: see fake-quantization
 * (DequantizeLinear of a QuantizeLinear) in `dequantizeRule`, which hands the gradient to the QuantizeLinear's output,
 * and `quantizeRule`, which hands it on.
 */
export const quantizeRule: Rule = ({ gradient }) => [gradient];

/** x ≈ (q - z)·s: q gets the gradient as if it were x itself; s gets Σ g·(q - z). */
export const dequantizeRule: Rule = (context) => {
  const { build, gradient, input, output, node } = context;
  const scaleIsScalar = rankOf(input(1)) === 0;
  const forScale = () => {
    const whole = build.divide(output(0), input(1));
    return sumToShapeOf(build, build.multiply(gradient, whole), output(0), input(1));
  };
  return [gradient, context.wants(1) && scaleIsScalar && node.int('block_size', 0) === 0 ? forScale() : undefined];
};
