import { type DescMessage, fromBinary, isFieldSet, type Message, toBinary } from '@bufbuild/protobuf';
import { ModelProtoSchema } from '../../../../src/artifact/formats/onnx/generated/onnx_pb.ts';

const held = (message: Message, field: DescMessage['fields'][number]): unknown => {
  const record = message as unknown as Record<string, unknown>;
  return field.oneof ? (record[field.oneof.localName] as { value?: unknown }).value : record[field.localName];
};

const isSame = (schema: DescMessage, a: Message, b: Message): boolean =>
  Buffer.from(toBinary(schema, a)).equals(Buffer.from(toBinary(schema, b)));

const found = (schema: DescMessage, a: Message, b: Message, path: string): string[] => {
  if (isSame(schema, a, b)) return [];
  const inner = schema.fields.flatMap((field): string[] => {
    const at = `${path}.${field.name}`;
    if (isFieldSet(a as never, field) !== isFieldSet(b as never, field)) return [`${at} is set in one of them`];
    const [x, y] = [held(a, field), held(b, field)];
    if (Array.isArray(x) && Array.isArray(y)) {
      if (x.length !== y.length) return [`${at} has ${x.length} and ${y.length} entries`];
      return x.flatMap((entry, index) => {
        if (field.message) return found(field.message, entry, y[index], `${at}[${index}]`);
        return String(entry) === String(y[index]) ? [] : [`${at}[${index}] is ${entry} and ${y[index]}`];
      });
    }
    if (field.message) return x && y ? found(field.message, x as Message, y as Message, at) : [];
    return String(x) === String(y) ? [] : [`${at} is ${x} and ${y}`];
  });
  return inner.length > 0 ? inner : [`${path} differs in unknown fields or bits`];
};

/** Paths of the fields in which two encoded models differ. */
export const differences = (a: Uint8Array, b: Uint8Array): string[] =>
  found(ModelProtoSchema, fromBinary(ModelProtoSchema, a), fromBinary(ModelProtoSchema, b), 'model');
