import type { SitePacking } from '../../../analysis/site-weights.ts';
import { internalError } from '../../../errors.ts';
import type { RoundedUnit } from './round-unit.ts';

/** A rounded weight in a checkpoint: its facts as JSON, its arrays by length, in this order after the JSON. */
interface Entry {
  readonly name: string;
  readonly packing: Omit<SitePacking, 'codes' | 'scales' | 'zeroPoints'>;
  readonly facts: RoundedUnit['facts'];
  readonly fallbacks: RoundedUnit['fallbacks'];
  readonly codesLength: number;
  readonly scalesLength: number;
  /** -1: no zero points. */
  readonly zeroPointsLength: number;
}

const bytesOf = (array: Float32Array): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

/** Rounded weights by name as bytes: 4 bytes of JSON length (little-endian), JSON, then the arrays one after the other. */
export const encodeCheckpoint = (rounded: ReadonlyMap<string, RoundedUnit>): Uint8Array => {
  const entries: Entry[] = [];
  const arrays: Uint8Array[] = [];
  for (const [name, { packing, facts, fallbacks }] of rounded) {
    const { codes, scales, zeroPoints, ...rest } = packing;
    entries.push({
      name,
      packing: rest,
      facts,
      fallbacks,
      codesLength: codes.length,
      scalesLength: scales.length,
      zeroPointsLength: zeroPoints?.length ?? -1,
    });
    arrays.push(codes, bytesOf(scales), ...(zeroPoints ? [zeroPoints] : []));
  }
  const json = Buffer.from(JSON.stringify(entries));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  return new Uint8Array(Buffer.concat([length, json, ...arrays]));
};

/** The inverse of `encodeCheckpoint`. @throws internal error when lengths do not fit. */
export const decodeCheckpoint = (bytes: Uint8Array): Map<string, RoundedUnit> => {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const jsonLength = buffer.readUInt32LE(0);
  const entries = JSON.parse(buffer.toString('utf8', 4, 4 + jsonLength)) as Entry[];
  let at = 4 + jsonLength;
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw internalError('a checkpoint of rounded weights is cut short');
    at += length;
    return Uint8Array.from(bytes.subarray(at - length, at));
  };
  return new Map(
    entries.map((entry) => {
      const codes = take(entry.codesLength);
      const scales = new Float32Array(take(entry.scalesLength * 4).buffer);
      const zeroPoints = entry.zeroPointsLength < 0 ? null : take(entry.zeroPointsLength);
      const packing = { ...entry.packing, codes, scales, zeroPoints };
      return [entry.name, { packing, facts: entry.facts, fallbacks: entry.fallbacks }];
    }),
  );
};
