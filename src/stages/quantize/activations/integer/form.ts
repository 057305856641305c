import type { Site } from '../../../../analysis/sites.ts';
import type { NameSource } from '../../../../ir/edit/names.ts';
import type { Graph, Program, Value } from '../../../../ir/graph.ts';
import { scalar } from '../../../../ir/read.ts';
import type { MemoryTensor } from '../../../../ir/tensor.ts';
import { GridConstants } from '../constants.ts';
import { NodeWriter } from '../node-writer.ts';
import type { DynamicOptions } from '../options.ts';
import { type StoredWeight, unsignedZero, type WeightRequest, WeightStore, weightLimit } from '../weight-store.ts';
import { writeTokenInput } from './token-input.ts';

/** How the integers of weights are stored. */
export type WeightForm = Pick<DynamicOptions, 'granularity' | 'weightType' | 'weightBits'>;

/** How products are written: their weights, and whether each row of an activation gets a scale of its own. */
export type IntegerOptions = WeightForm & Pick<DynamicOptions, 'perToken'>;

/** What the integer forms of all operators share while one program is rewritten. */
export interface Lowering {
  readonly program: Program;
  readonly names: NameSource;
  readonly store: WeightStore;
  readonly constants: GridConstants;
  readonly inputs: DynamicInputs;
  readonly options: IntegerOptions;
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
    limit: weightLimit(lowering.options.weightBits),
    granularity: lowering.options.granularity,
    arrangement: 'plain',
    home: lowering.program.graph,
    ...request,
  });
  const zeroPoint =
    request.dtype === 'uint8' ? lowering.constants.zeroPoint(lowering.program.graph, 'uint8', unsignedZero) : undefined;
  return { ...stored, zeroPoint };
};

/** An activation rounded at run time. */
export interface DynamicInput {
  readonly codes: Value;
  /** Rank 0, or (…, 1) with a scale for each row. */
  readonly scale: Value;
  readonly zeroPoint: Value;
  readonly scaled: 'whole' | 'rows';
}

/** What a site reads now: rewriting the node before it may have put another value there. */
export const activationOf = (site: Site): Value => site.node.inputs[site.op === 'Gather' ? 1 : 0] ?? site.input;

/** Rounds each value once for a graph and a way of scaling, in front of its first reader. */
export class DynamicInputs {
  readonly #program: Program;
  readonly #names: NameSource;
  readonly #store: WeightStore;
  readonly #made = new Map<Graph, Map<Value, DynamicInput>>();
  readonly #byRows = new Map<Graph, Map<Value, DynamicInput>>();

  constructor(program: Program, names: NameSource, store: WeightStore) {
    this.#program = program;
    this.#names = names;
    this.#store = store;
  }

  /** What a site reads, with one scale for all of it or one for each row. */
  of(site: Site, scaled: DynamicInput['scaled']): DynamicInput {
    const { graph } = site;
    const input = activationOf(site);
    const all = scaled === 'rows' ? this.#byRows : this.#made;
    const known = all.get(graph) ?? new Map<Value, DynamicInput>();
    all.set(graph, known);
    const found = known.get(input);
    if (found) return found;
    const made = scaled === 'rows' ? this.#writeRows(site, input) : this.#writeWhole(site, input);
    known.set(input, made);
    return made;
  }

  #writeWhole(site: Site, input: Value): DynamicInput {
    const [codes, scale, zeroPoint] = new NodeWriter(this.#names, site.graph, site.node).addMany(
      { op: 'DynamicQuantizeLinear', inputs: [input], name: input.name },
      ['_q', '_qs', '_qz'],
    ) as [Value, Value, Value];
    return { codes, scale, zeroPoint, scaled: 'whole' };
  }

  #writeRows(site: Site, input: Value): DynamicInput {
    const written = writeTokenInput({
      site,
      input,
      writer: new NodeWriter(this.#names, site.graph, site.node),
      opset: this.#program.opsets.get('') ?? 0,
      constant: (name, tensor) => this.#store.addConstant(this.#program.graph, name, tensor),
    });
    return { ...written, scaled: 'rows' };
  }
}

/** A fresh state for rewriting a program. */
export const newLowering = (program: Program, names: NameSource, options: IntegerOptions): Lowering => {
  const store = new WeightStore(names);
  return {
    program,
    names,
    options,
    store,
    constants: new GridConstants(names),
    inputs: new DynamicInputs(program, names, store),
  };
};

/** A constant of the main graph, shared with equal ones. */
export const mainConstant = (lowering: Lowering, name: string, tensor: MemoryTensor): Value =>
  lowering.store.addConstant(lowering.program.graph, name, tensor);

/** A float32 constant of the main graph with one element. */
export const scalarConstant = (lowering: Lowering, name: string, value: number): Value =>
  mainConstant(lowering, name, scalar(value));
