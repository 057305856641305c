import { readSiteMatrix } from '../../analysis/site-weights.ts';
import { PackedTensor } from '../../ir/packed-tensor.ts';
import type { Tensor } from '../../ir/tensor.ts';
import { constantOf } from '../../ir/walk.ts';
import { quantizeRtn } from '../../kernels/index.ts';
import type { AttributedUnit } from './attribute.ts';
import { originalBytes, presentBytes, type SiteUnit } from './correspond.ts';
import { type Candidate, cheapestFor } from './shares.ts';
import type { Replacement } from './variant.ts';

/** How a weight is to be kept: in 8 bits, or as it was. */
export type HigherPrecision = 8 | 'original';

export interface KeptUnit {
  readonly unit: SiteUnit;
  readonly as: HigherPrecision;
  readonly addedBytes: number;
}

/** Weights whose higher precision takes a share of a divergence away. */
export interface KeptSites {
  readonly units: readonly KeptUnit[];
  readonly addedBytes: number;
  /** Share of the divergence that was measured to go with all of them. */
  readonly gain: number;
  /** False where not even all weights gain what was asked for. */
  readonly reached: boolean;
}

interface KeepCandidate extends Candidate, KeptUnit {}

/** The weight rounded to nearest in 8 bits, in groups and on a grid like the present one. */
const eightBits = async ({ pairs: [{ site, packed }] }: SiteUnit, signal: AbortSignal): Promise<PackedTensor> => {
  const { facts } = packed!;
  const { rows, columns, layout } = site;
  const { groupSize } = facts;
  const scheme = facts.zeroPoints ? ('asymmetric' as const) : ('symmetric' as const);
  const scaleType = facts.dtype === 'float16' ? ('float16' as const) : ('float32' as const);
  const common = { rows, columns, bits: 8 as const, groupSize, scheme, scaleType, signal };
  const rounded = await quantizeRtn({ weight: readSiteMatrix(site), ...common });
  const { dtype, shape } = constantOf(site.weight)!;
  return new PackedTensor({
    ...{ rows, columns, layout, shape, groupSize, bits: 8, storedBits: 8, method: 'rtn' },
    dtype: dtype as 'float32',
    codes: rounded.codes,
    scales: rounded.scales,
    zeroPoints: rounded.zeroPoints,
  });
};

/** Packed integers of fewer bits go to 8; anything else goes back to what it was. */
const higherOf = ({ pairs: [{ packed }] }: SiteUnit): HigherPrecision =>
  packed && packed.facts.bits < 8 ? 8 : 'original';

const bytesOf = (unit: SiteUnit, as: HigherPrecision): number => {
  if (as === 'original') return originalBytes(unit);
  const { rows, columns, zeroPoints } = unit.pairs[0].packed!.facts;
  const { groups } = unit.pairs[0].packed!;
  return rows * (columns + groups * (zeroPoints ? 5 : 4));
};

/**
 * The weights to keep in higher precision so that a divergence falls by `wanted` nats at the least cost in bytes. The
 * gain of all of them together is measured, not added up.
 * @param measure what the divergence falls by with these replacements
 */
export const keepFor = async (
  request: {
    readonly units: readonly AttributedUnit[];
    readonly wanted: number;
    readonly divergence: number;
    readonly signal: AbortSignal;
  },
  measure: (replacements: readonly Replacement[]) => Promise<number>,
): Promise<KeptSites> => {
  const { units, wanted, divergence, signal } = request;
  const candidates = units.map(({ unit, caused }): KeepCandidate => {
    const as = higherOf(unit);
    const addedBytes = bytesOf(unit, as) - presentBytes(unit);
    return { unit, as, addedBytes, gain: caused ?? 0, cost: Math.max(0, addedBytes) };
  });
  const replacementsFor = async ({ unit, as }: KeepCandidate): Promise<Replacement[]> => {
    if (as === 'original') return unit.pairs.map(({ first }) => ({ region: first }));
    const tensor: Tensor = await eightBits(unit, signal);
    return unit.pairs.map(({ first, site }) => ({ region: first, constants: new Map([[site.weight, tensor]]) }));
  };
  const measured = async (chosen: readonly KeepCandidate[]): Promise<number> => {
    const replacements: Replacement[] = [];
    for (const candidate of chosen) replacements.push(...(await replacementsFor(candidate)));
    return measure(replacements);
  };
  const { chosen, gain } = await cheapestFor(candidates, wanted, measured);
  return {
    units: chosen.map(({ unit, as, addedBytes }) => ({ unit, as, addedBytes })),
    addedBytes: chosen.reduce((sum, { addedBytes }) => sum + addedBytes, 0),
    gain: gain / divergence,
    reached: gain >= wanted,
  };
};
