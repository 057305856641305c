import type { Site } from '../../../../analysis/sites.ts';
import type { NameSource } from '../../../../ir/edit/names.ts';
import type { Graph, Program, Value } from '../../../../ir/graph.ts';
import { scalar } from '../../../../ir/read.ts';
import type { MemoryTensor } from '../../../../ir/tensor.ts';
import { GridConstants } from '../constants.ts';
import { NodeWriter } from '../node-writer.ts';
import type { DynamicOptions } from '../options.ts';
import { type StoredWeight, unsignedZero, type WeightRequest, WeightStore } from '../weight-store.ts';

/** How the integers of weights are stored. */
export type WeightForm = Pick<DynamicOptions, 'granularity' | 'weightType' | 'weightBits'>;

/** What the integer forms of all operators share while one program is rewritten. */
export interface Lowering {
  readonly program: Program;
  readonly names: NameSource;
  readonly store: WeightStore;
  readonly constants: GridConstants;
  readonly inputs: DynamicInputs;
  readonly options: WeightForm;
}

/** Codes, scales and, for unsigned codes, the zero point of a site's weight. */
export interface IntegerWeight extends StoredWeight {
  readonly zeroPoint: Value | undefined;
}

/** The integers of a site's weight under the stage's options. */
export const integerWeight = (
  site: Site,
  lowering: Lowering,
  request: Pick<WeightRequest, 'dtype'> & Partial<WeightRequest>,
): IntegerWeight => {
  const stored = lowering.store.store(site, {
    limit: 2 ** (lowering.options.weightBits - 1) - 1,
    granularity: lowering.options.granularity,
    arrangement: 'plain',
    home: lowering.program.graph,
    ...request,
  });
  const zeroPoint =
    request.dtype === 'uint8' ? lowering.constants.zeroPoint(lowering.program.graph, 'uint8', unsignedZero) : undefined;
  return { ...stored, zeroPoint };
};

/** An activation rounded at run time, per tensor. */
export interface DynamicInput {
  readonly codes: Value;
  readonly scale: Value;
  readonly zeroPoint: Value;
}

/** What a site reads now: rewriting the node before it may have put another value there. */
export const activationOf = (site: Site): Value => site.node.inputs[site.op === 'Gather' ? 1 : 0] ?? site.input;

/** One DynamicQuantizeLinear for each value and graph, in front of its first reader. */
export class DynamicInputs {
  readonly #names: NameSource;
  readonly #made = new Map<Graph, Map<Value, DynamicInput>>();

  constructor(names: NameSource) {
    this.#names = names;
  }

  of(site: Site): DynamicInput {
    const { graph } = site;
    const input = activationOf(site);
    const known = this.#made.get(graph) ?? new Map<Value, DynamicInput>();
    this.#made.set(graph, known);
    const found = known.get(input);
    if (found) return found;
    const [codes, scale, zeroPoint] = new NodeWriter(this.#names, graph, site.node).addMany(
      { op: 'DynamicQuantizeLinear', inputs: [input], name: input.name },
      ['_q', '_qs', '_qz'],
    ) as [Value, Value, Value];
    const made = { codes, scale, zeroPoint };
    known.set(input, made);
    return made;
  }
}

/** A fresh state for rewriting a program. */
export const newLowering = (program: Program, names: NameSource, options: WeightForm): Lowering => ({
  program,
  names,
  options,
  store: new WeightStore(names),
  constants: new GridConstants(names),
  inputs: new DynamicInputs(names),
});

/** A constant of the main graph, shared with equal ones. */
export const mainConstant = (lowering: Lowering, name: string, tensor: MemoryTensor): Value =>
  lowering.store.addConstant(lowering.program.graph, name, tensor);

/** A float32 constant of the main graph with one element. */
export const scalarConstant = (lowering: Lowering, name: string, value: number): Value =>
  mainConstant(lowering, name, scalar(value));
