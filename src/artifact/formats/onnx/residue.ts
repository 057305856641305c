import { create, type DescMessage, type Message, type MessageInitShape, type MessageShape } from '@bufbuild/protobuf';

/**
 * What is left of a message once the IR has taken what it models: unknown fields, fields that are only carried, fields
 * that are set to their default (so that "set" and "absent" stay different), and fields in an unusual form. Encoding
 * starts from it. Undefined when nothing is left, which is the usual case.
 */
export type Residue<Desc extends DescMessage> = MessageShape<Desc> | undefined;

const isBlank = (value: unknown): boolean => {
  if (value === undefined) return true;
  if (Array.isArray(value)) return value.length === 0;
  return typeof value === 'object' && value !== null && 'case' in value && value.case === undefined;
};

const isDefault = (value: unknown): boolean => value === '' || value === 0 || value === 0n;

/** Which fields of a message the IR holds. */
interface Modelled<Desc extends DescMessage> {
  /** Fields that encoding always writes. */
  readonly taken: readonly (keyof MessageShape<Desc> & string)[];
  /** Fields that encoding writes unless they are empty: of these, scalars set to their default are left. */
  readonly optional: readonly (keyof MessageShape<Desc> & string)[];
  /** Optional fields that are left as they are, because encoding would write them in another form. */
  readonly unusual?: MessageInitShape<Desc>;
}

export const residueOf = <Desc extends DescMessage>(
  schema: Desc,
  message: MessageShape<Desc>,
  { taken, optional, unusual }: Modelled<Desc>,
): Residue<Desc> => {
  const rest: Record<string, unknown> = {};
  const gone = new Set<string>(taken);
  const droppable = new Set<string>(optional);
  for (const [key, value] of Object.entries(message))
    if (key !== '$typeName' && !isBlank(value) && !gone.has(key) && (!droppable.has(key) || isDefault(value)))
      rest[key] = value;
  for (const [key, value] of Object.entries(unusual ?? {})) if (!isBlank(value)) rest[key] = value;
  return Object.keys(rest).length === 0
    ? undefined
    : (Object.assign(create(schema) as Message, rest) as MessageShape<Desc>);
};

/** A new message that begins with what a residue holds; its lists are its own. */
export const startFrom = <Desc extends DescMessage>(schema: Desc, residue: Residue<Desc>): MessageShape<Desc> => {
  const message = create(schema);
  if (!residue) return message;
  for (const [key, value] of Object.entries(residue))
    (message as unknown as Record<string, unknown>)[key] = Array.isArray(value) ? [...value] : value;
  return message;
};
