import { gptq } from './gptq.ts';
import type { RoundingMethod } from './method.ts';
import { rtn } from './rtn.ts';

/** Every way of choosing integers, by the name that recipes use. */
export const roundingMethods = { rtn, gptq } as const satisfies Record<string, RoundingMethod>;

export type RoundingMethodName = keyof typeof roundingMethods;
