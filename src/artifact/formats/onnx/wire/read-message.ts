import {
  create,
  type DescMessage,
  type Message,
  type MessageShape,
  ScalarType,
  type UnknownField,
} from '@bufbuild/protobuf';
import { CompressError } from '../../../../errors.ts';
import { type TensorProto, TensorProtoSchema } from '../generated/onnx_pb.ts';
import { type ByteReader, wireTypes } from './byte-reader.ts';
import { type FieldPlan, planOf, wireTypeOf } from './field-plans.ts';
import { GrowingBytes, type Payload, payloadBytes, payloadFields } from './payload.ts';

/** Messages within messages; protobuf's own readers stop at the same depth. */
const deepestNesting = 100;

/**
 * How much a file may ask to be held as objects: tiny messages and integers take a hundred times their bytes. Real
 * models stay below a tenth of this.
 */
const mostMessages = 2 ** 21;
const mostIntegers = 2 ** 24;

/** Payloads of a file that are at least this long are not read but left in the file. */
const smallestLazyPayload = 4096;

/** Payload fields and the wire type of one of their elements; raw_data has no elements. */
const elementWireTypes: ReadonlyMap<number, number | undefined> = new Map<number, number | undefined>([
  [payloadFields.rawData, undefined],
  [payloadFields.floatData, wireTypes.bit32],
  [payloadFields.doubleData, wireTypes.bit64],
  [payloadFields.int32Data, wireTypes.varint],
  [payloadFields.int64Data, wireTypes.varint],
  [payloadFields.uint64Data, wireTypes.varint],
]);

/** A NaN whose bits are not those that JavaScript writes: its place in the field and its bits. */
export interface OddNaN {
  readonly field: number;
  readonly index: number;
  readonly bits: number;
}

/** What is read beside the messages: payloads of tensors and floats that a JavaScript number cannot keep. */
export interface SideTable {
  readonly payloads: WeakMap<TensorProto, Payload>;
  readonly oddNaNs: WeakMap<Message, OddNaN[]>;
}

const ordinaryNaN = 0x7fc00000;

const floatView = new DataView(new ArrayBuffer(4));
const floatOfBits = (bits: number): number => {
  floatView.setUint32(0, bits, true);
  return floatView.getFloat32(0, true);
};

/** Reads one message tree by its descriptor. */
class MessageReader {
  readonly #reader: ByteReader;
  readonly #side: SideTable;
  /** Typed lists that arrived unpacked or in several runs. */
  readonly #grown = new WeakMap<TensorProto, GrowingBytes>();
  #messages = 0;
  #integers = 0;

  constructor(reader: ByteReader, side: SideTable) {
    this.#reader = reader;
    this.#side = side;
  }

  read(schema: DescMessage, message: Message, depth: number): void {
    const reader = this.#reader;
    if (depth > deepestNesting) throw reader.malformed(`messages are nested more than ${deepestNesting} deep`);
    const plan = planOf(schema);
    const unknown: UnknownField[] = message.$unknown ?? [];
    const isTensor = schema === TensorProtoSchema;
    while (reader.position < reader.limit) {
      const begin = reader.position;
      const { field, wireType } = reader.tag();
      if (isTensor && elementWireTypes.has(field)) {
        this.#payload(message as TensorProto, field, wireType);
        continue;
      }
      const known = plan.get(field);
      if (!known) {
        this.#countMessage();
        unknown.push({ no: field, wireType, data: this.#raw(field, wireType, depth) });
      } else this.#known(message, known, wireType, depth, begin);
    }
    if (unknown.length > 0) message.$unknown = unknown;
  }

  #known(message: Message, plan: FieldPlan, wireType: number, depth: number, begin: number): void {
    const reader = this.#reader;
    const target = message as unknown as Record<string, unknown>;
    const wanted = plan.message ? wireTypes.lengthDelimited : wireTypeOf(plan.scalar);
    const packed = plan.repeated && wanted !== wireTypes.lengthDelimited && wireType === wireTypes.lengthDelimited;
    if (wireType !== wanted && !packed)
      throw reader.malformed(
        `field ${plan.field.name} of ${plan.field.parent.name} has wire type ${wireType} instead of ${wanted}`,
        begin,
      );
    if (packed) {
      const list = target[plan.name] as unknown[];
      const outer = this.#enter();
      while (reader.position < reader.limit) list.push(this.#scalar(message, plan, list.length));
      reader.limit = outer;
    } else if (plan.repeated) {
      const list = target[plan.name] as unknown[];
      list.push(
        plan.message ? this.#message(plan.message, undefined, depth) : this.#scalar(message, plan, list.length),
      );
    } else if (plan.oneof) {
      const held = target[plan.oneof] as { case?: string; value?: unknown };
      const before = held.case === plan.name ? (held.value as Message) : undefined;
      target[plan.oneof] = {
        case: plan.name,
        value: plan.message ? this.#message(plan.message, before, depth) : this.#scalar(message, plan, 0),
      };
    } else {
      target[plan.name] = plan.message
        ? this.#message(plan.message, target[plan.name] as Message | undefined, depth)
        : this.#scalar(message, plan, 0);
    }
  }

  /** Narrows the reader to a length-delimited stretch; returns the limit to restore. */
  #enter(): number {
    const length = this.#reader.length();
    const outer = this.#reader.limit;
    this.#reader.limit = this.#reader.position + length;
    return outer;
  }

  #message(schema: DescMessage, before: Message | undefined, depth: number): Message {
    this.#countMessage();
    const message = before ?? create(schema);
    const outer = this.#enter();
    this.read(schema, message, depth + 1);
    this.#reader.limit = outer;
    return message;
  }

  #scalar(message: Message, plan: FieldPlan, index: number): unknown {
    const reader = this.#reader;
    switch (plan.scalar) {
      case ScalarType.STRING:
        return reader.text();
      case ScalarType.BYTES:
        return reader.bytes(reader.length());
      case ScalarType.INT64:
        if (++this.#integers > mostIntegers) throw this.#tooMuch('integers', mostIntegers);
        return reader.int64();
      case ScalarType.FLOAT: {
        const bits = reader.fixed32();
        const value = floatOfBits(bits);
        if (Number.isNaN(value) && bits !== ordinaryNaN) {
          const odd = this.#side.oddNaNs.get(message) ?? [];
          odd.push({ field: plan.field.number, index, bits });
          this.#side.oddNaNs.set(message, odd);
        }
        return value;
      }
      default:
        return reader.int32();
    }
  }

  #countMessage(): void {
    if (++this.#messages > mostMessages) throw this.#tooMuch('messages', mostMessages);
  }

  #tooMuch(what: string, most: number): CompressError {
    const file = this.#reader.fileName;
    return new CompressError({
      code: 'unsafe',
      message: `the model consists of more than ${most} ${what}, which is more than memory should be spent on`,
      where: { ...(file === undefined ? {} : { file }), byteOffset: this.#reader.position },
    });
  }

  /** Takes a tensor's elements aside: the last raw_data, or all runs of a typed list one after the other. */
  #payload(tensor: TensorProto, field: number, wireType: number): void {
    const reader = this.#reader;
    const { payloads } = this.#side;
    const packed = wireType === wireTypes.lengthDelimited;
    const element = elementWireTypes.get(field);
    if (!packed && wireType !== element) throw reader.malformed(`elements of a tensor have wire type ${wireType}`);
    const begin = reader.position;
    const byteLength = packed ? reader.length() : this.#rawLength(field, wireType, 1);
    const byteOffset = packed ? reader.position : begin;
    reader.position = byteOffset;
    const repeated = field !== payloadFields.rawData;
    if (repeated && byteLength === 0) return;
    const before = payloads.get(tensor);
    if (before && before.field !== field)
      throw reader.malformed(`a tensor holds elements in two fields (${before.field} and ${field})`, begin);
    if (!before || !repeated) {
      payloads.set(tensor, this.#place(field, byteLength, byteOffset));
      return;
    }
    const grown = this.#grown.get(tensor) ?? new GrowingBytes(payloadBytes(before));
    this.#grown.set(tensor, grown);
    grown.append(reader.bytes(byteLength));
    payloads.set(tensor, { ...before, byteLength: grown.byteLength, place: { kind: 'memory', bytes: grown.view() } });
  }

  #place(field: number, byteLength: number, byteOffset: number): Payload {
    const { source } = this.#reader;
    if (source.kind === 'file' && byteLength >= smallestLazyPayload) {
      this.#reader.skip(byteLength);
      return { field, byteLength, byteOffset, place: { kind: 'file', path: source.path } };
    }
    return { field, byteLength, byteOffset, place: { kind: 'memory', bytes: this.#reader.bytes(byteLength) } };
  }

  /** A field's bytes as they stand, a length prefix or end tag included, for fields that are only carried. */
  #raw(field: number, wireType: number, depth: number): Uint8Array {
    const begin = this.#reader.position;
    const length = this.#rawLength(field, wireType, depth);
    this.#reader.position = begin;
    return this.#reader.bytes(length);
  }

  /** Moves over a field and returns the number of its bytes. */
  #rawLength(field: number, wireType: number, depth: number): number {
    const reader = this.#reader;
    const begin = reader.position;
    if (depth > deepestNesting) throw reader.malformed(`groups are nested more than ${deepestNesting} deep`);
    switch (wireType) {
      case wireTypes.varint:
        reader.varint();
        break;
      case wireTypes.bit64:
        reader.skip(8);
        break;
      case wireTypes.bit32:
        reader.skip(4);
        break;
      case wireTypes.lengthDelimited:
        reader.skip(reader.length());
        break;
      case wireTypes.startGroup:
        for (
          let inner = reader.tag();
          inner.wireType !== wireTypes.endGroup || inner.field !== field;
          inner = reader.tag()
        )
          this.#rawLength(inner.field, inner.wireType, depth + 1);
        break;
      default:
        throw reader.malformed(`wire type ${wireType} does not exist here`);
    }
    return reader.position - begin;
  }
}

/** Reads a whole message. @throws malformed errors with file and byte offset. */
export const readMessage = <Desc extends DescMessage>(
  schema: Desc,
  reader: ByteReader,
): { message: MessageShape<Desc>; side: SideTable } => {
  const side: SideTable = { payloads: new WeakMap(), oddNaNs: new WeakMap() };
  const message = create(schema);
  new MessageReader(reader, side).read(schema, message, 1);
  return { message, side };
};
