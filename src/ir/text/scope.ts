import { Value } from '../graph.ts';

/** Names visible while a graph is being read: its own, then those of the enclosing graphs. */
export class Scope {
  readonly #own = new Map<string, Value>();
  readonly #outer: Scope | undefined;

  constructor(outer?: Scope) {
    this.#outer = outer;
  }

  find(name: string): Value | undefined {
    return this.#own.get(name) ?? this.#outer?.find(name);
  }

  findOwn(name: string): Value | undefined {
    return this.#own.get(name);
  }

  define(name: string): Value {
    const value = new Value(name);
    this.#own.set(name, value);
    return value;
  }
}
