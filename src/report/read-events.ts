import { closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { StringDecoder } from 'node:string_decoder';
import type { TimedEvent } from '../recipe/events.ts';

/** What a line of a log of events says; undefined for a line that is no event. */
const readLine = (line: string): TimedEvent | undefined => {
  try {
    const value: unknown = JSON.parse(line);
    const typed = typeof value === 'object' && value !== null && 'type' in value && 'atMs' in value;
    return typed && typeof value.type === 'string' && typeof value.atMs === 'number'
      ? (value as TimedEvent)
      : undefined;
  } catch {
    return undefined;
  }
};

const readLines = (lines: readonly string[]): TimedEvent[] =>
  lines.flatMap((line) => (line.trim() === '' ? [] : (readLine(line) ?? [])));

/** The events of a log. A last line that was cut off by a killed process is left out, as is any line that is no event. */
export const readEvents = (path: string): TimedEvent[] => readLines(readFileSync(path, 'utf8').split('\n'));

const chunkBytes = 1 << 16;

/**
 * Reads a log of events while it grows. Each call of `next` gives what has come since the last one: nothing while the
 * file does not exist, the lines so far without a half-written last one, everything anew once the file was begun anew.
 */
export class EventTail {
  readonly #path: string;
  #inode = 0;
  #offset = 0;
  #rest = '';
  #decoder = new StringDecoder('utf8');

  constructor(path: string) {
    this.#path = path;
  }

  next(): TimedEvent[] {
    const facts = statSync(this.#path, { throwIfNoEntry: false });
    if (!facts) return [];
    if (facts.ino !== this.#inode || facts.size < this.#offset) this.#beginAnew(facts.ino);
    if (facts.size === this.#offset) return [];
    const file = openSync(this.#path, 'r');
    try {
      const chunk = Buffer.alloc(chunkBytes);
      for (;;) {
        const count = readSync(file, chunk, 0, chunkBytes, this.#offset);
        if (count === 0) break;
        this.#offset += count;
        this.#rest += this.#decoder.write(chunk.subarray(0, count));
      }
    } finally {
      closeSync(file);
    }
    const lines = this.#rest.split('\n');
    this.#rest = lines.pop() ?? '';
    return readLines(lines);
  }

  #beginAnew(inode: number): void {
    this.#inode = inode;
    this.#offset = 0;
    this.#rest = '';
    this.#decoder = new StringDecoder('utf8');
  }
}
