import { sharedAtoms } from './atoms.ts';
import { basisSharing } from './basis.ts';
import { linearExpansion } from './linear.ts';
import type { SharingMethod } from './method.ts';
import { tiedLayers } from './tied.ts';

/** All ways to share compete: their predicted losses are in the same unit. */
export const anySharing: SharingMethod = {
  name: 'any',
  summary: 'whichever of the others loses least, chosen for each group',
  options: async (input, options) => {
    const found = [];
    for (const method of [basisSharing, sharedAtoms, tiedLayers, linearExpansion])
      found.push(...(await method.options(input, options)));
    return found;
  },
};
