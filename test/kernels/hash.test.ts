import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Hasher, hashBytes, hashFile, readSafetensorsHeader } from '../../src/kernels/index.ts';

const folder = mkdtempSync(join(tmpdir(), 'modelpress-hash-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** The input of the published BLAKE3 test vectors: bytes 0 … 250 over and over. */
const vector = (length: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  for (let index = 0; index < length; index++) bytes[index] = index % 251;
  return bytes;
};

describe('BLAKE3', () => {
  it('gives the published hashes', () => {
    expect(hashBytes(vector(0))).toBe('af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262');
    expect(hashBytes(vector(1))).toBe('2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213');
    expect(hashBytes(vector(1024))).toBe('42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7');
  });

  it('is the same in pieces, at once and from a file', async () => {
    const bytes = vector(20_000_000);
    const hasher = new Hasher();
    for (let begin = 0; begin < bytes.length; begin += 3_333_333)
      hasher.update(bytes.subarray(begin, begin + 3_333_333));
    const path = join(folder, 'bytes');
    writeFileSync(path, bytes);
    expect(hasher.hex()).toBe(hashBytes(bytes));
    expect(await hashFile(path)).toBe(hashBytes(bytes));
  });

  it('names a file that is missing', async () => {
    await expect(hashFile(join(folder, 'missing'))).rejects.toMatchObject({
      code: 'not-found',
      message: expect.stringContaining(join(folder, 'missing')),
    });
  });
});

const safetensors = (header: unknown, dataBytes: number): Uint8Array => {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + dataBytes);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
};

describe('a safetensors header', () => {
  const good = {
    __metadata__: { format: 'pt' },
    second: { dtype: 'F32', shape: [2, 3], data_offsets: [4, 28] },
    first: { dtype: 'BF16', shape: [2], data_offsets: [0, 4] },
  };

  it('is read from a file and from its first bytes alike', () => {
    const bytes = safetensors(good, 28);
    const path = join(folder, 'good.safetensors');
    writeFileSync(path, bytes);
    const header = readSafetensorsHeader(path);
    expect(header.metadata).toEqual(new Map([['format', 'pt']]));
    expect(header.tensors).toEqual([
      { name: 'first', dtype: 'BF16', shape: [2], begin: 0, end: 4 },
      { name: 'second', dtype: 'F32', shape: [2, 3], begin: 4, end: 28 },
    ]);
    expect(header.dataOffset).toBe(bytes.length - 28);
    const prefix = bytes.subarray(0, bytes.length - 28);
    expect(readSafetensorsHeader({ bytes: prefix, fileLength: bytes.length })).toEqual(header);
  });

  it('that lies is refused with what is wrong and the file', () => {
    const path = join(folder, 'bad.safetensors');
    const refusal = (bytes: Uint8Array): { code: string; message: string; where: unknown } => {
      writeFileSync(path, bytes);
      try {
        readSafetensorsHeader(path);
      } catch (error) {
        return error as { code: string; message: string; where: unknown };
      }
      throw new Error('nothing was thrown');
    };
    const cases: [Uint8Array, string][] = [
      [safetensors(good, 27), 'not fully covered'],
      [safetensors(good, 29), 'not fully covered'],
      [safetensors({ a: { dtype: 'F32', shape: [1], data_offsets: [8, 12] } }, 12), 'offset'],
      [safetensors({ a: { dtype: 'F32', shape: [9], data_offsets: [0, 4] } }, 4), 'shape'],
      [safetensors({ a: { dtype: 'F31', shape: [1], data_offsets: [0, 4] } }, 4), 'F31'],
      [safetensors('{"a":1,"a":2}', 0), 'twice'],
      [safetensors('{"a":', 0), 'JSON'],
      [new Uint8Array(3), 'too few'],
      [new Uint8Array(100).fill(255), 'too large'],
      [safetensors(good, 28).subarray(0, 40), 'cut short'],
    ];
    for (const [bytes, words] of cases) {
      const error = refusal(bytes);
      expect(error.code).toBe('malformed');
      expect(error.message).toContain(words);
      expect(error.where).toEqual({ file: path });
    }
  });
});
