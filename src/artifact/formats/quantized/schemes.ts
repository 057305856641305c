import type { PackedTensor } from '../../../ir/packed-tensor.ts';
import { type WeightFacts, weightFacts } from '../weight-facts.ts';
import type { PackedModule, SplitWeights } from './split.ts';

/** What a module's integers have in common with others. */
export interface ModuleScheme {
  readonly bits: number;
  /** -1: one group a row. */
  readonly groupSize: number;
  readonly symmetric: boolean;
}

export const schemeOf = ({ facts }: PackedTensor): ModuleScheme => ({
  bits: facts.bits,
  groupSize: facts.groupSize >= facts.columns ? -1 : facts.groupSize,
  symmetric: facts.zeroPoints === null,
});

interface SchemedModule {
  readonly path: string;
  readonly scheme: ModuleScheme;
}

const keyOf = ({ bits, groupSize, symmetric }: ModuleScheme): string => `${bits} ${groupSize} ${symmetric}`;

/** The scheme that most modules have (of equals the first), and the modules that have another one. */
export const schemesOf = (
  modules: readonly PackedModule[],
): { readonly usual: ModuleScheme; readonly others: readonly SchemedModule[] } => {
  const all = modules.map(({ path, tensor }): SchemedModule => ({ path, scheme: schemeOf(tensor) }));
  const counts = new Map<string, number>();
  for (const { scheme } of all) counts.set(keyOf(scheme), (counts.get(keyOf(scheme)) ?? 0) + 1);
  const most = Math.max(...counts.values());
  const usual = all.find(({ scheme }) => counts.get(keyOf(scheme)) === most)!.scheme;
  return { usual, others: all.filter(({ scheme }) => keyOf(scheme) !== keyOf(usual)) };
};

/** A regular expression that holds for this module path alone. */
export const plainPattern = (path: string): string => `^${path.replaceAll('.', '\\.')}$`;

/** Facts of all weights for the manifest; the packed ones stand in the files under this form. */
export const packedFacts = ({ model, packed }: SplitWeights, form: string): WeightFacts[] => {
  const stored = new Set(packed.map(({ path }) => `${path}.weight`));
  return weightFacts(model.program, undefined).map((facts) => (stored.has(facts.name) ? { ...facts, form } : facts));
};
