import type { Axis, AxisTable, Product } from './axes.ts';

/**
 * Elements of axes that must go together, by union-find: an element of a concatenation is the element of its part, and
 * all combinations that hold an element of the removable factor of a product are that element.
 */
export class Atoms {
  readonly #table: AxisTable;
  readonly #offsets = new Map<Axis, number>();
  readonly #parents: Int32Array;
  readonly #reasons = new Map<number, string>();

  constructor(table: AxisTable) {
    this.#table = table;
    let count = 0;
    for (const axis of table.roots()) {
      this.#offsets.set(axis, count);
      count += table.size(axis);
    }
    this.#parents = Int32Array.from({ length: count }, (_, index) => index);
    for (const axis of table.roots()) {
      const reason = table.blockedBecause(axis);
      if (reason !== undefined) this.#block(axis, reason);
    }
    this.#join();
    this.#decideProducts();
  }

  /** The element's representative. */
  unitOf(axis: Axis, element: number): number {
    return this.#root(this.#atom(axis, element));
  }

  /** Why an element must stay; undefined where it may go. */
  reasonAt(axis: Axis, element: number): string | undefined {
    return this.#reasons.get(this.unitOf(axis, element));
  }

  #atom(axis: Axis, element: number): number {
    return this.#offsets.get(this.#table.root(axis))! + element;
  }

  #root(atom: number): number {
    const parents = this.#parents;
    let root = atom;
    while (parents[root] !== root) root = parents[root]!;
    for (let at = atom; at !== root; ) {
      const next = parents[at]!;
      parents[at] = root;
      at = next;
    }
    return root;
  }

  /** The smaller representative stays, so that units are numbered in the order in which axes were first seen. */
  #union(a: number, b: number): void {
    const [one, two] = [this.#root(a), this.#root(b)];
    if (one === two) return;
    const [stays, goes] = one < two ? [one, two] : [two, one];
    this.#parents[goes] = stays;
    const reason = this.#reasons.get(stays) ?? this.#reasons.get(goes);
    if (reason !== undefined) this.#reasons.set(stays, reason);
  }

  #block(axis: Axis, reason: string): void {
    for (let element = 0; element < this.#table.size(axis); element++) {
      const unit = this.unitOf(axis, element);
      if (!this.#reasons.has(unit)) this.#reasons.set(unit, reason);
    }
  }

  #join(): void {
    for (const { whole, parts } of this.#table.concatenations) {
      let offset = 0;
      for (const { axis, size } of parts) {
        if (axis !== undefined)
          for (let element = 0; element < size; element++)
            this.#union(this.#atom(whole, offset + element), this.#atom(axis, element));
        offset += size;
      }
    }
  }

  /** Why every element of an axis must stay; undefined where one may go. */
  #stays(axis: Axis): string | undefined {
    let reason: string | undefined;
    for (let element = 0; element < this.#table.size(axis); element++) {
      const found = this.reasonAt(axis, element);
      if (found === undefined) return undefined;
      reason ??= found;
    }
    return reason;
  }

  /** Of each product one factor may lose elements: the first that may at all; the others keep their length. */
  #decideProducts(): void {
    let open: readonly Product[] = this.#table.products;
    while (open.length > 0) {
      const left: Product[] = [];
      for (const product of open) if (!this.#settle(product)) left.push(product);
      if (left.length < open.length) {
        open = left;
        continue;
      }
      const [first, ...rest] = open;
      this.#choose(first!);
      open = rest;
    }
  }

  /** Settles a product that has no choice. */
  #settle({ whole, factors }: Product): boolean {
    const reason = this.#stays(whole);
    if (reason !== undefined) {
      for (const factor of factors) this.#block(factor, reason);
      return true;
    }
    const free = factors.filter((factor) => this.#stays(factor) === undefined);
    if (free.length > 0) return false;
    this.#block(whole, this.#stays(factors[0]!)!);
    return true;
  }

  #choose({ whole, factors }: Product): void {
    const table = this.#table;
    const chosen = factors.findIndex((factor) => this.#stays(factor) === undefined);
    const inner = factors.slice(chosen + 1).reduce((size, factor) => size * table.size(factor), 1);
    const length = table.size(factors[chosen]!);
    for (let element = 0; element < table.size(whole); element++)
      this.#union(this.#atom(whole, element), this.#atom(factors[chosen]!, Math.floor(element / inner) % length));
    factors.forEach((factor, index) => {
      if (index !== chosen) this.#block(factor, 'it is a part of what is removed as a whole');
    });
  }
}
