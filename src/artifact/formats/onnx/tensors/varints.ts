import { bitsOf, type DataType } from '../../../../ir/data-type.ts';

/**
 * Elements of int32_data, int64_data and uint64_data as the little-endian array that raw_data would hold.
 * `entries` counts numbers in the list: elements, or bytes of packed elements for 4- and 2-bit types.
 * Undefined when the list has another number of entries or is cut short.
 */
export const bytesOfVarints = (list: Uint8Array, dtype: DataType, count: number): Uint8Array | undefined => {
  const bits = bitsOf(dtype);
  const width = bits === 6 ? 1 : Math.ceil(bits / 8);
  const entries = bits < 6 ? Math.ceil((count * bits) / 8) : count;
  const bytes = new Uint8Array(entries * width);
  let at = 0;
  let written = 0;
  while (at < list.length) {
    if (written === bytes.length) return undefined;
    let low = 0;
    let high = 0;
    let shift = 0;
    let byte = 0x80;
    while (byte >= 0x80) {
      if (at === list.length || shift > 63) return undefined;
      byte = list[at++] ?? 0;
      const seven = byte & 0x7f;
      if (shift < 28) low |= seven << shift;
      else if (shift === 28) {
        low |= seven << 28;
        high |= seven >>> 4;
      } else high |= seven << (shift - 32);
      shift += 7;
    }
    for (let index = 0; index < width; index++)
      bytes[written++] = index < 4 ? low >>> (8 * index) : high >>> (8 * (index - 4));
  }
  if (written !== bytes.length) return undefined;
  return bits === 6 ? packSixBits(bytes) : bytes;
};

/** One 6-bit code a byte → codes packed one after the other, low bits first. */
const packSixBits = (codes: Uint8Array): Uint8Array => {
  const packed = new Uint8Array(Math.ceil((codes.length * 6) / 8));
  codes.forEach((code, index) => {
    const bit = index * 6;
    const byte = bit >>> 3;
    const wide = (code & 63) << (bit & 7);
    packed[byte] = (packed[byte] ?? 0) | (wide & 255);
    if (wide > 255) packed[byte + 1] = wide >>> 8;
  });
  return packed;
};

/** An unsigned number as a protobuf varint. */
export const varintBytes = (value: number): Uint8Array => {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
};
