import { anySharing } from './any.ts';
import { sharedAtoms } from './atoms.ts';
import { basisSharing } from './basis.ts';
import { linearExpansion } from './linear.ts';
import type { SharingMethod } from './method.ts';
import { tiedLayers } from './tied.ts';

/** Ways to share among layers, by name. */
export const sharingMethods = {
  basis: basisSharing,
  atoms: sharedAtoms,
  tied: tiedLayers,
  linear: linearExpansion,
  any: anySharing,
} as const satisfies Record<string, SharingMethod>;

export type SharingMethodName = keyof typeof sharingMethods;
