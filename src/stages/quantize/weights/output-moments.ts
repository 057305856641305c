import type { Site } from '../../../analysis/sites.ts';
import { collectCurvature } from '../../../curvature/collect.ts';
import { gradientMoment } from '../../../curvature/moments.ts';
import { CompressError, formatError } from '../../../errors.ts';
import type { SequentialRun } from './run-sequential.ts';

/** B of sites by name. */
export interface OutputMoments {
  /** (rows, rows); undefined where no gradient reaches the site's output. */
  of(site: Site): Float64Array | undefined;
}

const checkpointKey = 'output-moments';

/** What was collected, or why nothing could be. */
interface Collected {
  readonly moments: ReadonlyMap<string, Float64Array>;
  readonly obstacle?: string;
}

/** A JSON line of the obstacle and of names and lengths, then the matrices. */
const encode = ({ moments, obstacle }: Collected): Uint8Array => {
  const entries = [...moments].map(([name, matrix]) => [name, matrix.length]);
  const header = Buffer.from(`${JSON.stringify({ obstacle, entries })}
`);
  const matrices = [...moments.values()].map(
    (matrix) => new Uint8Array(matrix.buffer, matrix.byteOffset, matrix.byteLength),
  );
  return new Uint8Array(Buffer.concat([header, ...matrices]));
};

const decode = (bytes: Uint8Array): Collected => {
  const end = bytes.indexOf(10);
  const header = JSON.parse(Buffer.from(bytes.subarray(0, end)).toString()) as {
    obstacle?: string;
    entries: [string, number][];
  };
  let at = end + 1;
  const moments = new Map(
    header.entries.map(([name, length]) => {
      const matrix = new Float64Array(bytes.slice(at, at + 8 * length).buffer);
      at += 8 * length;
      return [name, matrix];
    }),
  );
  return { moments, ...(header.obstacle ? { obstacle: header.obstacle } : {}) };
};

const collect = async (
  { program, dataset, context }: SequentialRun,
  names: ReadonlySet<string>,
): Promise<Collected> => {
  const { engine, seed, scratch, emit, signal } = context;
  const wanted = (site: Site): boolean => names.has(site.name);
  try {
    const { sites } = await collectCurvature({ program, dataset, engine, seed, wanted, scratch, emit, signal });
    const moments = new Map<string, Float64Array>();
    for (const [name, curvature] of sites) {
      const moment = gradientMoment(curvature);
      if (moment) moments.set(name, moment);
    }
    return { moments };
  } catch (error) {
    if (!(error instanceof CompressError) || !['unsupported', 'data'].includes(error.code)) throw error;
    return { moments: new Map(), obstacle: formatError(error) };
  }
};

/**
 * B of the sites named, collected once in the unquantized model with labels drawn by the recipe's seed, and kept in a
 * checkpoint. A model that cannot be differentiated has none: the descent then minimises output errors, and the
 * report says why.
 */
export const outputMoments = async (run: SequentialRun, names: ReadonlySet<string>): Promise<OutputMoments> => {
  const { checkpoints } = run.context;
  const kept = checkpoints.get(checkpointKey);
  const collected = kept ? decode(kept) : await collect(run, names);
  if (!kept) checkpoints.put(checkpointKey, encode(collected));
  const { moments, obstacle } = collected;
  if (obstacle)
    run.found({
      kind: 'fallback',
      text: `integers are improved for each output by itself, since the curvature cannot be had: ${obstacle}`,
    });
  return { of: (site) => moments.get(site.name) };
};
