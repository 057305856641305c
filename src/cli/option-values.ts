import { internalError } from '../errors.ts';

/** Typed reading of what commander collected, by the name that it derives from a flag (`--max-memory` is maxMemory). */
export class OptionValues {
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>) {
    this.#values = values;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    if (value === undefined || typeof value === 'string') return value;
    throw internalError(`option ${name} is no text`);
  }

  /** The texts of a flag that may be given several times. */
  texts(name: string): readonly string[] {
    const value = this.#values[name] ?? [];
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
    throw internalError(`option ${name} is no list of texts`);
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  /** The value as it is, for tables of flags that are turned into recipe keys. */
  raw(name: string): unknown {
    return this.#values[name];
  }
}

/** For flags that may be given several times: appends to the list so far. */
export const collect = (value: string, previous: readonly string[] | undefined): readonly string[] => [
  ...(previous ?? []),
  value,
];
