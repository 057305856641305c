import type { Value } from '../../ir/graph.ts';
import type { Role } from '../../ir/model.ts';
import type { Tensor } from '../../ir/tensor.ts';
import type { GraphBuilder } from '../builder.ts';
import { rowsOf } from '../lazy.ts';
import { type Activation, activate } from './activation.ts';
import { linear, project } from './linear.ts';

export interface GatedFields {
  /** Module path with `gate_proj`, `up_proj` and `down_proj` below. */
  readonly path: string;
  readonly width: number;
  readonly inner: number;
  readonly bias: boolean;
  readonly activation: Activation;
  /** 'fused': gate and up are the halves of one stored `gate_up_proj`. */
  readonly stored: 'separate' | 'fused';
}

/** Splits a stored matrix of several linear layers, one below the other, into lazily read parts (inputs, outputs). */
export const partOf = (b: GraphBuilder, stored: Tensor, begin: number, outputs: number): Tensor =>
  b.weights.transposeOf(rowsOf(stored, begin, begin + outputs));

/** down(act(gate(x)) · up(x)) (Shazeer 2020). */
export const gatedMlp = (b: GraphBuilder, x: Value, fields: GatedFields): Value => {
  const { path, width, inner, bias, activation, stored } = fields;
  const inward = (name: 'gate' | 'up', begin: number): Value => {
    const site = { path: `${path}.${name}_proj`, outputs: inner, bias, role: name satisfies Role };
    if (stored === 'separate') return linear(b, x, { ...site, inputs: width });
    return project(b, x, site, () =>
      partOf(b, b.weights.stored(`${path}.gate_up_proj.weight`, [2 * inner, width]), begin, inner),
    );
  };
  const gate = inward('gate', 0);
  const up = inward('up', inner);
  const mixed = b.within(path, () => b.multiply(activate(b, gate, activation), up));
  return linear(b, mixed, { path: `${path}.down_proj`, inputs: inner, outputs: width, bias, role: 'down' });
};

export interface PlainMlpFields {
  /** Module paths of the two layers. */
  readonly inward: string;
  readonly outward: string;
  readonly width: number;
  readonly inner: number;
  readonly activation: Activation;
  /** How a layer is stored: `linear` or `linearStoredTransposed`. */
  readonly layer: typeof linear;
}

/** outward(act(inward(x))), both with bias. */
export const plainMlp = (b: GraphBuilder, x: Value, fields: PlainMlpFields): Value => {
  const { inward, outward, width, inner, activation, layer } = fields;
  const wide = layer(b, x, { path: inward, inputs: width, outputs: inner, bias: true, role: 'up' });
  const bent = b.within(inward, () => activate(b, wide, activation));
  return layer(b, bent, { path: outward, inputs: inner, outputs: width, bias: true, role: 'down' });
};
