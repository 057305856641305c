import { CompressError } from '../errors.ts';
import type { CheckpointStore } from '../stages/stage.ts';
import { type MomentSum, momentFromBytes } from './moment-sums.ts';
import type { Curvature, Moment, SiteCurvature } from './moments.ts';

/** A moment in the store: its part's key, and what can be said of it without reading it. */
export interface MomentFacts {
  readonly part: string;
  readonly kind: Moment['kind'];
  readonly n: number;
  readonly count: number;
}

export interface SiteFacts {
  readonly site: string;
  readonly rows: number;
  readonly columns: number;
  readonly inputs: readonly MomentFacts[];
  readonly gradients: MomentFacts | null;
  readonly positions: number;
  readonly items: number;
  readonly trace: number;
}

/** What an entry of the store says of itself; written last, so that an entry that has it is whole. */
interface EntryFacts {
  readonly samples: number;
  readonly sites: readonly SiteFacts[];
}

const indexPart = 'index';

/** Changes whenever entries are laid out in another way: those of before are then not found. */
export const entryLayout = 2;

/** The part that holds the diagonal of a whole moment: what is asked for more often, and a thousandth of the bytes. */
const diagonalPart = (part: string): string => `${part}, diagonal`;

const bytesOf = (numbers: Float64Array): Uint8Array =>
  new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);

/** Writes a curvature to one entry of a store. */
export class CurvatureWriter {
  readonly #store: CheckpointStore;
  readonly #entry: string;
  readonly #sites: SiteFacts[] = [];

  constructor(store: CheckpointStore, entry: string) {
    this.#store = store;
    this.#entry = entry;
  }

  /** Writes a moment under a name of its own and frees it. */
  moment(name: string, sum: MomentSum): MomentFacts {
    const facts = { part: name, kind: sum.kind, n: sum.n, count: sum.count };
    this.#store.put(`${this.#entry}/${name}`, sum.toBytes());
    if (sum.kind === 'full') this.#store.put(`${this.#entry}/${diagonalPart(name)}`, bytesOf(sum.diagonal()));
    sum.release();
    return facts;
  }

  /** Adds a site, whose moments were written. */
  site(facts: SiteFacts): void {
    this.#sites.push(facts);
  }

  /** Makes the entry whole. */
  finish(samples: number): void {
    const facts: EntryFacts = { samples, sites: this.#sites };
    this.#store.put(`${this.#entry}/${indexPart}`, new TextEncoder().encode(JSON.stringify(facts)));
  }
}

/** The curvature in an entry of a store, or undefined; its moments are read when they are asked for. */
export const readCurvature = (store: CheckpointStore, entry: string): Curvature | undefined => {
  const index = store.get(`${entry}/${indexPart}`);
  if (!index) return undefined;
  const { samples, sites } = JSON.parse(new TextDecoder().decode(index)) as EntryFacts;
  const momentOf = (facts: MomentFacts): Moment => new StoredMoment(store, entry, facts);
  return {
    samples,
    sites: new Map(
      sites.map((facts): [string, SiteCurvature] => [
        facts.site,
        {
          ...facts,
          inputs: facts.inputs.map(momentOf),
          gradients: facts.gradients === null ? undefined : momentOf(facts.gradients),
        },
      ]),
    ),
  };
};

/** A moment whose numbers lie in a store; read anew each time, so that many sites take no memory. */
class StoredMoment implements Moment {
  readonly kind: Moment['kind'];
  readonly n: number;
  readonly count: number;
  readonly #store: CheckpointStore;
  readonly #key: string;

  constructor(store: CheckpointStore, entry: string, { part, kind, n, count }: MomentFacts) {
    this.kind = kind;
    this.n = n;
    this.count = count;
    this.#store = store;
    this.#key = `${entry}/${part}`;
  }

  diagonal(): Float64Array {
    if (this.kind === 'full') return new Float64Array(this.#bytes(diagonalPart(this.#key)).slice().buffer);
    return this.#read((sum) => sum.diagonal());
  }

  matrix(): Float64Array {
    return this.#read((sum) => sum.matrix());
  }

  #read(use: (sum: MomentSum) => Float64Array): Float64Array {
    const sum = momentFromBytes(this.kind, this.#bytes(this.#key));
    try {
      return use(sum);
    } finally {
      sum.release();
    }
  }

  #bytes(key: string): Uint8Array {
    const bytes = this.#store.get(key);
    if (bytes) return bytes;
    throw new CompressError({
      code: 'resource',
      message: 'statistics that this run has gathered are gone from the cache',
      hint: 'Something else empties the cache while a run needs it: start the run again.',
    });
  }
}
