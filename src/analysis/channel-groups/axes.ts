import type { Node, Value } from '../../ir/graph.ts';
import type { Fact } from '../../ir/inference/fact.ts';
import type { Dim, Shape } from '../../ir/shape.ts';
import { constantOf } from '../../ir/walk.ts';

/** One dimension of known length of a value: all values whose elements lie along it in the same order share it. */
export type Axis = number;

/** A part of a longer axis; without `axis` these elements belong to the longer axis alone. */
export interface AxisPart {
  readonly axis: Axis | undefined;
  readonly size: number;
}

/** `whole` is the concatenation of parts: element `i` of a part is element `offset + i` of the whole. */
export interface Concatenation {
  readonly whole: Axis;
  readonly parts: readonly AxisPart[];
}

/** `whole` runs over all combinations of its factors, the last one fastest (a reshape of heads × width into one axis). */
export interface Product {
  readonly whole: Axis;
  readonly factors: readonly Axis[];
}

/** What a cut has left of axes, for nodes that hold lengths in attributes and constants. */
export interface KeptView {
  /** Elements that stay, ascending, in the numbering before the cut. */
  kept(axis: Axis): readonly number[];
}

/** Rewrites the lengths that a node holds. Called once after the constants have been cut. */
export type Adjustment = (view: KeptView) => void;

/** Where an axis lies on a value. */
export interface Place {
  readonly value: Value;
  readonly axis: number;
}

/**
 * The axes of all values of a program and how they hang together: equal ones are merged (union-find), the others related
 * by concatenations and products. Rules of operators fill it in.
 */
export class AxisTable {
  readonly concatenations: Concatenation[] = [];
  readonly products: Product[] = [];
  readonly adjustments: Adjustment[] = [];
  readonly #facts: ReadonlyMap<Value, Fact>;
  readonly #parents: Axis[] = [];
  readonly #sizes: number[] = [];
  readonly #places: Place[][] = [];
  readonly #byValue = new Map<Value, Map<number, Axis>>();
  readonly #blocked = new Map<Axis, string>();
  readonly #statistics = new Map<Axis, string>();
  readonly #summed = new Set<Axis>();

  constructor(facts: ReadonlyMap<Value, Fact>) {
    this.#facts = facts;
  }

  /** The shape of a value as far as it is known. */
  shape(value: Value | undefined): Shape | undefined {
    if (!value) return undefined;
    const tensor = constantOf(value);
    if (tensor) return tensor.shape;
    const type = this.#facts.get(value)?.type ?? value.type;
    return type?.kind === 'tensor' ? type.shape : undefined;
  }

  /** The elements of a small integer value, where they are known. */
  contents(value: Value | undefined): readonly Dim[] | undefined {
    return value && this.#facts.get(value)?.contents;
  }

  /** The axis of a value at an index (negative: from the end); undefined where its length is unknown or 1. */
  at(value: Value | undefined, index: number): Axis | undefined {
    const shape = this.shape(value);
    if (!value || !shape) return undefined;
    const position = index < 0 ? index + shape.length : index;
    const size = shape[position];
    if (typeof size !== 'number' || size < 2) return undefined;
    const known = this.#byValue.get(value) ?? new Map<number, Axis>();
    this.#byValue.set(value, known);
    const found = known.get(position);
    if (found !== undefined) return this.root(found);
    const made = this.virtual(size);
    known.set(position, made);
    this.#places[made]!.push({ value, axis: position });
    return made;
  }

  /** Every axis of known length of a value. */
  all(value: Value | undefined): Axis[] {
    return (this.shape(value) ?? []).map((_, index) => this.at(value, index)).filter((axis) => axis !== undefined);
  }

  /** An axis that lies on no value: the groups of a convolution, the gates of a cell. */
  virtual(size: number): Axis {
    const axis = this.#parents.length;
    this.#parents.push(axis);
    this.#sizes.push(size);
    this.#places.push([]);
    return axis;
  }

  root(axis: Axis): Axis {
    let root = axis;
    while (this.#parents[root] !== root) root = this.#parents[root]!;
    for (let at = axis; at !== root; ) {
      const next = this.#parents[at]!;
      this.#parents[at] = root;
      at = next;
    }
    return root;
  }

  size(axis: Axis): number {
    return this.#sizes[axis]!;
  }

  /** Values that an axis lies on. */
  places(axis: Axis): readonly Place[] {
    return this.#places[this.root(axis)]!;
  }

  /** Merges axes that are the same; those that are undefined, or of another length, are left alone. */
  same(first: Axis | undefined, ...others: readonly (Axis | undefined)[]): void {
    if (first === undefined) {
      const [next, ...rest] = others;
      if (others.length > 1) this.same(next, ...rest);
      return;
    }
    for (const other of others) {
      if (other === undefined) continue;
      const [a, b] = [this.root(first), this.root(other)];
      if (a === b || this.size(a) !== this.size(b)) continue;
      this.#parents[b] = a;
      this.#places[a]!.push(...this.#places[b]!);
      this.#places[b] = [];
      const reason = this.#blocked.get(b);
      if (reason !== undefined) this.block(a, reason);
      const statistic = this.#statistics.get(b);
      if (statistic !== undefined) this.takeStatistics(a, statistic);
      if (this.#summed.has(b)) this.#summed.add(a);
    }
  }

  concatenation(whole: Axis | undefined, parts: readonly AxisPart[]): void {
    if (whole !== undefined) this.concatenations.push({ whole, parts });
    else for (const { axis } of parts) this.block(axis, 'it is joined to something of unknown length');
  }

  /** Factors of length 1 and whole axes of length 1 may be given as undefined. */
  product(whole: Axis | undefined, factors: readonly (Axis | undefined)[], why: string): void {
    const present = factors.filter((axis) => axis !== undefined);
    if (whole === undefined) {
      for (const axis of present) this.block(axis, why);
      return;
    }
    const count = present.reduce((size, axis) => size * this.size(axis), 1);
    if (count !== this.size(whole)) {
      for (const axis of [whole, ...present]) this.block(axis, why);
      return;
    }
    if (present.length === 1) this.same(whole, present[0]);
    else this.products.push({ whole, factors: present });
  }

  /** Nothing may be removed along this axis; the first reason given stays. */
  block(axis: Axis | undefined, reason: string): void {
    if (axis === undefined) return;
    const root = this.root(axis);
    if (!this.#blocked.has(root)) this.#blocked.set(root, reason);
  }

  blockAll(value: Value | undefined, reason: string): void {
    for (const axis of this.all(value)) this.block(axis, reason);
  }

  blockedBecause(axis: Axis): string | undefined {
    return this.#blocked.get(this.root(axis));
  }

  /** A node computes a statistic over this axis: removing an element changes the others, even one that is always zero. */
  takeStatistics(axis: Axis | undefined, by: string): void {
    if (axis === undefined) return;
    const root = this.root(axis);
    if (!this.#statistics.has(root)) this.#statistics.set(root, by);
  }

  statisticsOver(axis: Axis): string | undefined {
    return this.#statistics.get(this.root(axis));
  }

  /** Two activations are added along this axis: what is removed must be removed from all that write to the stream. */
  markSummed(axis: Axis | undefined): void {
    if (axis !== undefined) this.#summed.add(this.root(axis));
  }

  isSummed(axis: Axis): boolean {
    return this.#summed.has(this.root(axis));
  }

  /** Every merged axis once, in the order in which it was first seen. */
  roots(): Axis[] {
    return this.#parents.map((_, axis) => axis).filter((axis) => this.#parents[axis] === axis);
  }
}

/** How an operator's axes hang together. */
export type AxisRule = (node: Node, table: AxisTable) => void;

export type AxisRules = Readonly<Record<string, AxisRule>>;
