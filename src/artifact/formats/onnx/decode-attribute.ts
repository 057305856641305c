import { CompressError } from '../../../errors.ts';
import type { Attribute, Graph } from '../../../ir/graph.ts';
import { type AttributeFacts, carry } from './facts.ts';
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  type GraphProto,
  type TensorProto,
} from './generated/onnx_pb.ts';
import { residueOf } from './residue.ts';
import { decodeTensor, type TensorContext } from './tensors/decode-tensor.ts';
import { decodeType, isUsualType } from './types.ts';
import type { OddNaN } from './wire/read-message.ts';

export interface DecodedAttribute {
  readonly attribute: Attribute;
  readonly facts: AttributeFacts | undefined;
}

/** The content field of each attribute type. */
const contentFields = {
  [AttributeType.FLOAT]: 'f',
  [AttributeType.INT]: 'i',
  [AttributeType.STRING]: 's',
  [AttributeType.TENSOR]: 't',
  [AttributeType.GRAPH]: 'g',
  [AttributeType.TYPE_PROTO]: 'tp',
  [AttributeType.FLOATS]: 'floats',
  [AttributeType.INTS]: 'ints',
  [AttributeType.STRINGS]: 'strings',
  [AttributeType.TENSORS]: 'tensors',
  [AttributeType.GRAPHS]: 'graphs',
} as const;

type ContentType = keyof typeof contentFields;
type ContentField = (typeof contentFields)[ContentType];

const holds = (proto: AttributeProto, field: ContentField): boolean => {
  const value = proto[field];
  return Array.isArray(value) ? value.length > 0 : Object.hasOwn(proto, field);
};

/** The content field that `type` names or, in files of IR version 1, the one that is set. */
const contentOf = (proto: AttributeProto): ContentField | undefined => {
  if (proto.type !== AttributeType.UNDEFINED) return contentFields[proto.type as ContentType];
  return Object.values(contentFields).find((field) => holds(proto, field));
};

const readContent = (
  proto: AttributeProto,
  field: ContentField,
  context: TensorContext,
  decodeBody: (graph: GraphProto) => Graph,
): Attribute | undefined => {
  const tensorWithFacts = (tensor: TensorProto) => {
    const { name, tensor: value, facts } = decodeTensor(tensor, context);
    return { value, facts: { name: Object.hasOwn(tensor, 'name') ? name : undefined, ...facts } };
  };
  switch (field) {
    case 'f':
      return { kind: 'float', value: proto.f };
    case 'i':
      return { kind: 'int', value: Number(proto.i) };
    case 's':
      return { kind: 'string', value: proto.s };
    case 'floats':
      return { kind: 'floats', value: proto.floats };
    case 'ints':
      return { kind: 'ints', value: proto.ints.map(Number) };
    case 'strings':
      return { kind: 'strings', value: proto.strings };
    case 't': {
      if (!proto.t) return undefined;
      const { value, facts } = tensorWithFacts(proto.t);
      const carried = carry(facts);
      return {
        kind: 'tensor',
        value,
        ...(facts.name === undefined ? {} : { name: facts.name }),
        ...(carried ? { carried } : {}),
      };
    }
    case 'tensors': {
      const tensors = proto.tensors.map(tensorWithFacts);
      return {
        kind: 'tensors',
        value: tensors.map((tensor) => tensor.value),
        carried: { onnx: tensors.map((tensor) => tensor.facts) },
      };
    }
    case 'g':
      return proto.g && { kind: 'graph', value: decodeBody(proto.g) };
    case 'graphs':
      return { kind: 'graphs', value: proto.graphs.map(decodeBody) };
    case 'tp': {
      const value = decodeType(proto.tp);
      return value && { kind: 'type', value };
    }
  }
};

/** Bits of f or of all floats where one of them is a NaN that JavaScript would write differently. */
const exactFloats = (values: readonly number[], odd: readonly OddNaN[]): Uint8Array => {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, index) => {
    view.setFloat32(index * 4, value, true);
  });
  for (const { index, bits } of odd) view.setUint32(index * 4, bits, true);
  return bytes;
};

const exactNumbers = (proto: AttributeProto, field: ContentField, context: TensorContext) => {
  if (field === 'f' || field === 'floats') {
    const number = field === 'f' ? 2 : 7;
    const odd = context.side.oddNaNs.get(proto)?.filter((entry) => entry.field === number) ?? [];
    return odd.length > 0 ? { floats: exactFloats(field === 'f' ? [proto.f] : proto.floats, odd) } : undefined;
  }
  if (field !== 'i' && field !== 'ints') return undefined;
  const integers = field === 'i' ? [proto.i] : proto.ints;
  return integers.some((value) => !Number.isSafeInteger(Number(value))) ? { integers } : undefined;
};

/**
 * One attribute. Integers beyond 2^53 (open ends of slices) are rounded in the IR and kept exactly beside it, as long
 * as nobody replaces the attribute.
 */
export const decodeAttribute = (
  proto: AttributeProto,
  node: string,
  context: TensorContext,
  decodeBody: (graph: GraphProto) => Graph,
): DecodedAttribute => {
  if (proto.name === '')
    throw new CompressError({
      code: 'malformed',
      message: 'an attribute has no name',
      where: { ...(context.file === undefined ? {} : { file: context.file }), node },
    });
  if (proto.refAttrName !== '') {
    const residue = residueOf(AttributeProtoSchema, proto, { taken: ['name', 'refAttrName'], optional: [] });
    return {
      attribute: { kind: 'reference', value: proto.refAttrName },
      facts: residue && { kind: 'reference', residue },
    };
  }
  const field = contentOf(proto);
  const attribute = field && readContent(proto, field, context, decodeBody);
  if (!field || !attribute) return { attribute: { kind: 'carried', value: { onnx: proto } }, facts: undefined };
  const residue = residueOf(AttributeProtoSchema, proto, {
    taken: ['name', 'type', field],
    optional: [],
    ...(field === 'tp' && proto.tp && !isUsualType(proto.tp) ? { unusual: { tp: proto.tp } } : {}),
  });
  const numbers = exactNumbers(proto, field, context);
  const leavesOut: ('type' | 'content')[] = [];
  if (proto.type === AttributeType.UNDEFINED) leavesOut.push('type');
  if (['f', 'i', 's'].includes(field) && !holds(proto, field)) leavesOut.push('content');
  const facts: AttributeFacts = {
    kind: attribute.kind,
    ...(residue ? { residue } : {}),
    ...(leavesOut.length > 0 ? { leavesOut } : {}),
    ...(numbers ? { exact: { attribute, ...numbers } } : {}),
  };
  return { attribute, facts: Object.keys(facts).length > 1 ? facts : undefined };
};
