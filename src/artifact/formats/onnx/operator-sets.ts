import { create } from '@bufbuild/protobuf';
import { type OperatorSetIdProto, OperatorSetIdProtoSchema } from './generated/onnx_pb.ts';

/** Operator-set versions by domain; the last entry of a domain counts. */
export const decodeOpsets = (entries: readonly OperatorSetIdProto[]): Map<string, number> =>
  new Map(entries.map((entry) => [entry.domain, Number(entry.version)]));

const encodeOpsets = (opsets: ReadonlyMap<string, number>): OperatorSetIdProto[] =>
  [...opsets].map(([domain, version]) => create(OperatorSetIdProtoSchema, { domain, version: BigInt(version) }));

/** Whether writing the decoded entries gives the same entries. */
export const areUsualOpsets = (entries: readonly OperatorSetIdProto[]): boolean =>
  decodeOpsets(entries).size === entries.length &&
  entries.every(
    (entry) =>
      Object.hasOwn(entry, 'domain') &&
      Object.hasOwn(entry, 'version') &&
      Number.isSafeInteger(Number(entry.version)) &&
      !entry.$unknown,
  );

const sameOpsets = (a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): boolean =>
  a.size === b.size && [...a].every(([domain, version]) => b.get(domain) === version);

/** The entries to write: `unusual` ones of the file while they still say the same. */
export const opsetsFor = (
  opsets: ReadonlyMap<string, number>,
  unusual: readonly OperatorSetIdProto[] | undefined,
): OperatorSetIdProto[] =>
  unusual && unusual.length > 0 && sameOpsets(decodeOpsets(unusual), opsets) ? [...unusual] : encodeOpsets(opsets);
