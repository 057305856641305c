import { CompressError } from '../errors.ts';

/** @throws CompressError 'interrupted' when the user has asked to stop. */
export const checkSignal = (signal: AbortSignal | undefined): void => {
  if (signal?.aborted) throw new CompressError({ code: 'interrupted', message: 'stopped on request' });
};
