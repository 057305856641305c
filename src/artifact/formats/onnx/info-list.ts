import { equals } from '@bufbuild/protobuf';
import type { Value } from '../../../ir/graph.ts';
import { encodeValueInfo } from './encode-value.ts';
import { factsOf, type GraphFacts, type InfoOverride, type ValueFacts } from './facts.ts';
import { type ValueInfoProto, ValueInfoProtoSchema } from './generated/onnx_pb.ts';
import { areUsualEntries, setTexts } from './metadata.ts';
import { residueOf } from './residue.ts';
import { decodeType, exactly, isUsualType } from './types.ts';

/**
 * The ValueInfoProtos of one graph. A value may have several (an input that is an output, an output that is listed in
 * value_info); the first describes it, a later one that says something else is kept aside.
 */
export class InfoList {
  readonly #described: WeakSet<Value>;
  readonly #overrides: InfoOverride[] = [];
  readonly #dangling: { readonly listed: number; readonly info: ValueInfoProto }[] = [];

  /** @param described Values that are described already, in any graph of the file; those of this list are added. */
  constructor(described: WeakSet<Value>) {
    this.#described = described;
  }

  describe(value: Value, info: ValueInfoProto, place: Pick<InfoOverride, 'list' | 'index'>): void {
    if (this.#described.has(value)) {
      if (!equals(ValueInfoProtoSchema, encodeValueInfo(value), info, exactly))
        this.#overrides.push({ ...place, name: value.name, info, type: value.type });
      return;
    }
    this.#described.add(value);
    if (info.type) value.type = decodeType(info.type);
    value.docString = info.docString;
    setTexts(value.metadata, info.metadataProps);
    const residue = residueOf(ValueInfoProtoSchema, info, {
      taken: ['name'],
      optional: ['type', 'docString', 'metadataProps'],
      unusual: {
        ...(info.type && !isUsualType(info.type) ? { type: info.type } : {}),
        ...(areUsualEntries(info.metadataProps) ? {} : { metadataProps: info.metadataProps }),
      },
    });
    if (residue) value.carried = { onnx: { ...factsOf<ValueFacts>(value.carried), info: residue } };
  }

  /** The entries of value_info; those that name no value, or one that is listed already, are kept as they are. */
  describeListed(infos: readonly ValueInfoProto[], find: (name: string) => Value | undefined): void {
    infos.forEach((info, listed) => {
      const value = find(info.name);
      if (!value || factsOf<ValueFacts>(value.carried).listed !== undefined) {
        this.#dangling.push({ listed, info });
        return;
      }
      this.describe(value, info, { list: 'value_info', index: listed });
      value.carried = { onnx: { ...factsOf<ValueFacts>(value.carried), listed } };
    });
  }

  facts(): Pick<GraphFacts, 'overrides' | 'dangling'> {
    return {
      ...(this.#overrides.length > 0 ? { overrides: this.#overrides } : {}),
      ...(this.#dangling.length > 0 ? { dangling: this.#dangling } : {}),
    };
  }
}
