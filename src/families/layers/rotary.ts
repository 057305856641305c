import { intAttribute, type Value } from '../../ir/graph.ts';
import { floatTensor } from '../../ir/read.ts';
import { DerivedTensor } from '../../ir/tensor.ts';
import type { GraphBuilder } from '../builder.ts';
import type { RotaryFrequencies } from './rotary-frequencies.ts';

/** Cosines and signed sines by position, (sequence, channels) or (batch, 1, sequence, channels). */
export interface RotaryTables {
  readonly channels: number;
  readonly cosine: Value;
  /** Minus the sine in the first half of the channels, the sine in the second. */
  readonly sine: Value;
}

/** One past the last position, rank 0, float32. */
const lengthOf = (b: GraphBuilder, positions: Value): Value =>
  b.add(
    b.cast(b.op('ReduceMax', [positions], { attributes: { keepdims: intAttribute(0) } }), 'float32'),
    b.float(1, 'float32'),
  );

/** The frequencies as a value (channels / 2), float32. */
const frequencyValue = (b: GraphBuilder, { channels, rule }: RotaryFrequencies, positions: Value): Value => {
  if (rule.kind === 'fixed') return b.floats('rotary/frequencies', rule.frequencies);
  const length = lengthOf(b, positions);
  if (rule.kind === 'switched') {
    const isLong = b.op('Greater', [length, b.float(rule.limit, 'float32')]);
    return b.op('Where', [isLong, b.floats('rotary/long', rule.long), b.floats('rotary/short', rule.short)]);
  }
  const { base, factor, limit } = rule;
  const beyond = b.op('Max', [length, b.float(limit, 'float32')]);
  const stretch = b.op('Sub', [b.multiply(beyond, b.float(factor / limit, 'float32')), b.float(factor - 1, 'float32')]);
  const power = b.op('Pow', [stretch, b.float(channels / (channels - 2), 'float32')]);
  const exponents = Float32Array.from({ length: channels / 2 }, (_, index) => (-2 * index) / channels);
  return b.op('Pow', [b.multiply(power, b.float(base, 'float32')), b.floats('rotary/exponents', exponents)]);
};

/**
 * Tables for these positions, computed in the graph in single precision.
 * @param positions int64, (sequence), or (batch, sequence) where rows differ.
 */
export const rotaryTables = (
  b: GraphBuilder,
  frequencies: RotaryFrequencies,
  positions: Value,
  rows: 'same' | 'differ',
): RotaryTables =>
  b.within('rotary', () => {
    const column = b.unsqueeze(b.cast(positions, 'float32'), rows === 'same' ? [1] : [1, 3]);
    const angles = b.multiply(column, frequencyValue(b, frequencies, positions));
    const scaled = (value: Value): Value =>
      frequencies.attentionFactor === 1 ? value : b.multiply(value, b.float(frequencies.attentionFactor, 'float32'));
    const cosine = scaled(b.op('Cos', [angles]));
    const sine = scaled(b.op('Sin', [angles]));
    return {
      channels: frequencies.channels,
      cosine: b.narrow(b.concat([cosine, cosine], -1)),
      sine: b.narrow(b.concat([b.op('Neg', [sine]), sine], -1)),
    };
  });

/** Rotates the first channels of each head: x · cos + swap(x) · sin. x is (batch, heads, sequence, headSize). */
export const rotate = (b: GraphBuilder, x: Value, tables: RotaryTables, headSize: number): Value => {
  const { channels, cosine, sine } = tables;
  const [turned = x, still] = channels === headSize ? [x] : b.split(x, -1, [channels, headSize - channels]);
  const [first, second] = b.split(turned, -1, [channels / 2, channels / 2]);
  const swapped = b.concat([second!, first!], -1);
  const rotated = b.add(b.multiply(turned, cosine), b.multiply(swapped, sine));
  return still ? b.concat([rotated, still], -1) : rotated;
};

/** Constant tables (positions, channels / 2) for fused operators, which do the rotation themselves. */
export const rotaryCaches = (
  b: GraphBuilder,
  frequencies: Float32Array,
  attentionFactor: number,
  positions: number,
): { readonly cosine: Value; readonly sine: Value } => {
  const { dtype } = b.options;
  const count = frequencies.length;
  const shape = [positions, count];
  const waves = (wave: (angle: number) => number): Float32Array =>
    Float32Array.from({ length: positions * count }, (_, index) => {
      const angle = Math.fround(Math.floor(index / count) * frequencies[index % count]!);
      return attentionFactor * wave(angle);
    });
  const table = (name: string, wave: (angle: number) => number): Value =>
    b.constant(
      `${name}[${positions},${attentionFactor},${frequencies.join(',')}]`,
      name,
      () => new DerivedTensor(dtype, shape, () => floatTensor(shape, waves(wave), dtype).bytes()),
    );
  return { cosine: table('rotary/cosine', Math.cos), sine: table('rotary/sine', Math.sin) };
};
