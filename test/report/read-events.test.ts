import { appendFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { TimedEvent } from '../../src/recipe/events.ts';
import { EventTail, readEvents } from '../../src/report/read-events.ts';
import { freshFolder } from '../recipe/tiny-run.ts';

const message = (text: string): TimedEvent => ({ type: 'message', severity: 'info', text, atMs: 1 });
const line = (text: string): string => `${JSON.stringify(message(text))}\n`;

describe('a log of events', () => {
  test('is read without a half-written last line and lines that are no events', () => {
    const path = join(freshFolder(), 'events.ndjson');
    writeFileSync(path, `${line('a')}no json\n{"type":"odd"}\n\n${line('b')}${line('c').slice(0, 20)}`);
    expect(readEvents(path)).toEqual([message('a'), message('b')]);
  });

  test('that grows gives each event once, whole lines only', () => {
    const path = join(freshFolder(), 'events.ndjson');
    const tail = new EventTail(path);
    expect(tail.next()).toEqual([]);
    writeFileSync(path, line('a'));
    expect(tail.next()).toEqual([message('a')]);
    expect(tail.next()).toEqual([]);
    appendFileSync(path, line('b').slice(0, 10));
    expect(tail.next()).toEqual([]);
    appendFileSync(path, line('b').slice(10) + line('c'));
    expect(tail.next()).toEqual([message('b'), message('c')]);
  });

  test('gives the same events however its bytes arrive, also in the middle of a character', () => {
    const path = join(freshFolder(), 'events.ndjson');
    const bytes = Buffer.from(line('größer → 界'));
    const tail = new EventTail(path);
    const found: TimedEvent[] = [];
    for (const byte of bytes) {
      appendFileSync(path, Buffer.from([byte]));
      found.push(...tail.next());
    }
    expect(found).toEqual([message('größer → 界')]);
  });

  test('that is begun anew is read from its beginning', () => {
    const path = join(freshFolder(), 'events.ndjson');
    const tail = new EventTail(path);
    writeFileSync(path, line('a long first run') + line('b'));
    tail.next();
    writeFileSync(path, line('c'));
    expect(tail.next()).toEqual([message('c')]);
    writeFileSync(`${path}.new`, line('another file of the very same name') + line('e'));
    renameSync(`${path}.new`, path);
    expect(tail.next()).toEqual([message('another file of the very same name'), message('e')]);
  });

  test('longer than a chunk is read whole', () => {
    const path = join(freshFolder(), 'events.ndjson');
    writeFileSync(path, Array.from({ length: 5000 }, (_, index) => line(`event ${index}`)).join(''));
    expect(new EventTail(path).next()).toHaveLength(5000);
  });
});
