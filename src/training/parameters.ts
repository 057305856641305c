import { internalError } from '../errors.ts';
import { elementCount } from '../ir/shape.ts';

/**
 * How an optimizer treats a parameter: 'matrix' (weights: decayed, orthogonalised by Muon), 'vector' (gains and biases:
 * never decayed), 'scale' (scales of quantized weights: relative steps, never decayed).
 */
export type ParameterGroup = 'matrix' | 'vector' | 'scale';

const groupOrder: readonly ParameterGroup[] = ['matrix', 'vector', 'scale'];

/** A parameter as its weight declares it. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly group: ParameterGroup;
  readonly initial: Float32Array;
  /** What a relative step is measured in; default by the size of the initial numbers (see `usualUnit`). */
  readonly unit?: number;
}

/** A parameter in the flat buffer. */
export interface Parameter extends Omit<ParameterSpec, 'initial' | 'unit'> {
  readonly offset: number;
  readonly length: number;
  readonly unit: number;
}

/** A run of parameters of one group in the flat buffer. */
export interface GroupRange {
  readonly group: ParameterGroup;
  readonly begin: number;
  readonly end: number;
  readonly parameters: readonly Parameter[];
}

/** Root mean square of numbers; 0 of none. */
const size = (numbers: Float32Array): number =>
  Math.sqrt(numbers.reduce((sum, number) => sum + number * number, 0) / Math.max(1, numbers.length));

/** Gains, biases and scales move a tenth as far as weights of their size: each acts on many products. */
const vectorShare = 0.1;
/** The unit of numbers that begin as zero. */
const leastUnit = 1e-3;

const usualUnit = ({ group, initial }: ParameterSpec): number =>
  Math.max(leastUnit, size(initial)) * (group === 'matrix' ? 1 : vectorShare);

/** All trained numbers in one buffer, group after group. Sessions are fed with views of it: nothing is copied. */
export class ParameterSet {
  readonly values: Float32Array<ArrayBuffer>;
  /** In the order of the buffer. */
  readonly entries: readonly Parameter[];
  readonly groups: readonly GroupRange[];
  readonly #byName: ReadonlyMap<string, Parameter>;

  /** @throws internal error for two parameters of one name, or numbers that do not fill a shape. */
  constructor(specs: readonly ParameterSpec[]) {
    const entries: Parameter[] = [];
    const groups: GroupRange[] = [];
    let offset = 0;
    for (const group of groupOrder) {
      const members = specs.filter((spec) => spec.group === group);
      const begin = offset;
      const parameters = members.map((spec): Parameter => {
        const { name, shape, initial } = spec;
        const length = elementCount(shape);
        if (initial.length !== length)
          throw internalError(`${initial.length} numbers for parameter ${name} of ${length}`);
        const parameter = { name, shape, group, offset, length, unit: spec.unit ?? usualUnit(spec) };
        offset += length;
        return parameter;
      });
      entries.push(...parameters);
      if (parameters.length > 0) groups.push({ group, begin, end: offset, parameters });
    }
    this.values = new Float32Array(offset);
    this.entries = entries;
    this.groups = groups;
    this.#byName = new Map(entries.map((entry) => [entry.name, entry]));
    if (this.#byName.size !== specs.length) throw internalError('two parameters have the same name');
    for (const { name, initial } of specs) this.view(name).set(initial);
  }

  get length(): number {
    return this.values.length;
  }

  /** A view of a parameter in the live buffer, or in another one of the same layout. */
  view(name: string, buffer: Float32Array = this.values): Float32Array {
    const entry = this.#byName.get(name);
    if (!entry) throw internalError(`there is no parameter ${name}`);
    return buffer.subarray(entry.offset, entry.offset + entry.length);
  }
}
