import { curvature } from './curvature.ts';
import { foem } from './foem.ts';
import { gptaq } from './gptaq.ts';
import { gptq } from './gptq.ts';
import type { RoundingMethod } from './method.ts';
import { qronos } from './qronos.ts';
import { rtn } from './rtn.ts';

/** Every way of choosing integers, by the name that recipes use. */
export const roundingMethods = {
  rtn,
  gptq,
  gptaq,
  foem,
  qronos,
  curvature,
} as const satisfies Record<string, RoundingMethod>;

export type RoundingMethodName = keyof typeof roundingMethods;
