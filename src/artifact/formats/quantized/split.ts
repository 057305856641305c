import { CompressError } from '../../../errors.ts';
import type { Model } from '../../../ir/model.ts';
import { type PackedFacts, PackedTensor } from '../../../ir/packed-tensor.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { PlannedWeight } from '../format.ts';
import { type StoredWeight, storedWeights } from '../huggingface/stored-weights.ts';
import { withPackedWeights } from '../onnx/lift/lift.ts';

/** A linear layer that a checkpoint stores in integers. */
export interface PackedModule {
  /** Module path. */
  readonly path: string;
  /** Its weight, [rows, columns]. */
  readonly tensor: PackedTensor;
  readonly inputOrder: Uint32Array | undefined;
}

/** The weights of a model, parted into those that a form carries as integers and the others. */
export interface SplitWeights {
  /** The model that the weights are of, everything packed that can be. */
  readonly model: Model;
  readonly packed: readonly PackedModule[];
  readonly plain: readonly StoredWeight[];
  /** Paths of linear layers that are not packed. */
  readonly plainLinear: readonly string[];
  /** A fallback for each packed weight that the form cannot carry. */
  readonly findings: readonly Finding[];
}

const moduleOf = (name: string): string => name.replace(/\.weight$/, '');

/** Why a form cannot carry a packed linear layer; undefined when it can. */
export type Obstacle = (facts: Pick<PackedFacts, 'rows' | 'columns' | 'bits' | 'groupSize'>) => string | undefined;

const onlyLinear = 'only linear layers are stored in integers';

/** What `splitWeights` would say of planned weights. */
export const foreseeSplit =
  (form: string, obstacle: Obstacle) =>
  (weights: readonly PlannedWeight[]): Finding[] =>
    weights.flatMap((weight): Finding[] => {
      const reason = weight.op === 'MatMul' ? obstacle(weight) : onlyLinear;
      if (reason === undefined) return [];
      return [{ kind: 'warning', site: weight.site, text: `${form} holds its weight dequantized: ${reason}` }];
    });

/**
 * @param obstacle why a form cannot carry a packed linear layer; undefined when it can.
 * @throws as `storedWeights`; unsupported where nothing is packed.
 */
export const splitWeights = (given: Model, form: string, obstacle: Obstacle): SplitWeights => {
  const model = withPackedWeights(given);
  const packed: PackedModule[] = [];
  const plain: StoredWeight[] = [];
  const findings: Finding[] = [];
  for (const weight of storedWeights(model)) {
    const { name, tensor, linear } = weight;
    const reason = !(tensor instanceof PackedTensor)
      ? undefined
      : linear && name.endsWith('.weight') && tensor.shape.length === 2
        ? obstacle(tensor.facts)
        : onlyLinear;
    if (tensor instanceof PackedTensor && reason === undefined) {
      const { rows, columns, inputOrder } = tensor.facts;
      const matrix = tensor.inStoredOrder().seenAs({ shape: [rows, columns], layout: 'rows-first' });
      packed.push({ path: moduleOf(name), tensor: matrix, inputOrder });
      continue;
    }
    plain.push(weight);
    if (reason !== undefined)
      findings.push({ kind: 'fallback', site: moduleOf(name), text: `${form} holds ${name} dequantized: ${reason}` });
  }
  if (packed.length === 0)
    throw new CompressError({
      code: 'unsupported',
      message: `nothing in this model can be stored as ${form} stores integers${findings.length > 0 ? `: ${findings[0]?.text}` : ''}`,
      where: { file: model.origin },
      hint: 'Quantize its weights first (stages: quantize), or write the format huggingface.',
    });
  const plainLinear = plain.filter(({ linear }) => linear).map(({ name }) => moduleOf(name));
  return { model, packed, plain, plainLinear, findings };
};
