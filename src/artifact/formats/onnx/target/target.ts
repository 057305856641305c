import { CompressError } from '../../../../errors.ts';

/** Version of onnxruntime, major × 1000 + minor. */
type Version = number;

/** What the runtime that a model is meant for can do. */
export interface Target {
  /** As it was written: 'ort-web@1.22'. */
  readonly name: string;
  /** onnxruntime behind it: '1.22'. */
  readonly runtime: string;
  /** Bits that MatMulNBits takes. */
  readonly productBits: readonly number[];
  /** Bits that GatherBlockQuantized takes in bytes. */
  readonly lookupBits: readonly number[];
  /** 2-bit integers behind DequantizeLinear. */
  readonly twoBitIntegers: boolean;
  /** ConvInteger with signed weights. */
  readonly signedConvolutions: boolean;
  /** Bits of QMoE. */
  readonly expertBits: readonly number[];
  readonly newestOpset: number;
}

const version = (major: number, minor: number): Version => major * 1000 + minor;

/** First versions that were seen to run a form; each was tried on 1.20, 1.22, 1.24, 1.26 and 1.30. */
const since = {
  oldest: version(1, 20),
  products: { 2: version(1, 24), 4: version(1, 20), 8: version(1, 24) },
  lookups: { 2: version(1, 30), 4: version(1, 24), 8: version(1, 24) },
  experts: { 2: version(1, 30), 4: version(1, 24), 8: version(1, 24) },
  twoBitIntegers: version(1, 24),
  signedConvolutions: version(1, 24),
  opsets: { 21: version(1, 20), 22: version(1, 22), 25: version(1, 24) },
} as const;

/** onnxruntime in releases of transformers.js, from this release on. */
const inTransformersJs: readonly (readonly [Version, Version])[] = [
  [version(4, 3), version(1, 30)],
  [version(4, 0), version(1, 24)],
  [version(3, 7), version(1, 22)],
  [version(3, 0), version(1, 20)],
];

const runtimes = ['ort-web', 'ort-node', 'transformersjs'] as const;

/** Where a model can be meant to run, for messages and descriptions. */
export const targetForm = 'ort-web@1.22, ort-node@1.24, transformersjs@3.7, or a name without a version for the newest';

const newest: Version = version(999, 0);

const numbersFrom = (least: Readonly<Record<number, Version>>, at: Version): number[] =>
  Object.entries(least).flatMap(([number, first]) => (first <= at ? [Number(number)] : []));

const targetOf = (name: string, at: Version): Target => ({
  name,
  runtime: at === newest ? 'newest' : `${Math.floor(at / 1000)}.${at % 1000}`,
  productBits: numbersFrom(since.products, at),
  lookupBits: numbersFrom(since.lookups, at),
  twoBitIntegers: since.twoBitIntegers <= at,
  signedConvolutions: since.signedConvolutions <= at,
  expertBits: numbersFrom(since.experts, at),
  newestOpset: Math.max(...numbersFrom(since.opsets, at)),
});

/** Everything that the newest onnxruntime has. */
export const newestTarget: Target = targetOf('onnxruntime', newest);

/** Reads 'ort-web@1.22' and the like. @throws usage for other texts and for versions that nothing is known of. */
export const parseTarget = (text: string): Target => {
  const found = /^([a-z-]+)(?:@(\d+)\.(\d+)(?:\.\d+)?)?$/.exec(text);
  const runtime = runtimes.find((name) => name === found?.[1]);
  if (!found || !runtime)
    throw new CompressError({
      code: 'usage',
      message: `"${text}" is no target`,
      hint: `Write ${targetForm}.`,
    });
  if (found[2] === undefined) return targetOf(text, newest);
  const asked = version(Number(found[2]), Number(found[3]));
  const at = runtime === 'transformersjs' ? inTransformersJs.find(([first]) => first <= asked)?.[1] : asked;
  if (at === undefined || at < since.oldest)
    throw new CompressError({
      code: 'usage',
      message: `nothing is known of ${text}: versions were tried from ${runtime === 'transformersjs' ? '3.0' : '1.20'} on`,
      hint: 'Choose a later version.',
    });
  return targetOf(text, at);
};
