import { z } from 'zod';
import type { Where } from '../errors.ts';
import type { MetricResult } from './events.ts';
import { parseBytes, parseShare, type Share } from './quantity.ts';

const shareSchema = z.union([z.string(), z.number()]).transform((written, context): Share => {
  const share = parseShare(written);
  if (share) return share;
  context.addIssue({
    code: 'custom',
    message: `expected a number or a percentage like 2%, found ${JSON.stringify(written)}`,
  });
  return z.NEVER;
});

/** A limit in the metric's own unit; sizes may be written with a unit (`500 kB`). */
const limitSchema = z.union([z.string(), z.number()]).transform((written, context): number => {
  if (typeof written === 'number') return written;
  const share = parseShare(written);
  const value = share ? share.value : (parseBytes(written) ?? Number.NaN);
  if (Number.isFinite(value)) return value;
  context.addIssue({
    code: 'custom',
    message: `expected a number, a percentage or a size like 500kB, found ${JSON.stringify(written)}`,
  });
  return z.NEVER;
});

const bounds = ['max', 'min', 'increase', 'drop', 'ratio'] as const;

/** Bounds on one metric after compression; `increase`, `drop` and `ratio` compare with the value before. */
export const boundsSchema = z
  .strictObject({
    max: limitSchema.optional().describe('The value after may be at most this.'),
    min: limitSchema.optional().describe('The value after must be at least this.'),
    increase: shareSchema.optional().describe('How far the value may rise: 2% of the value before, or a plain number.'),
    drop: shareSchema.optional().describe('How far the value may fall: 1% of the value before, or a plain number.'),
    ratio: limitSchema.optional().describe('Value after divided by value before may be at most this.'),
    dataset: z.string().optional().describe('Name of the evaluation dataset; all of them where left out.'),
    format: z.string().optional().describe('Name of the written format; all of them where left out.'),
  })
  .check((context) => {
    if (context.issues.length === 0 && bounds.every((bound) => context.value[bound] === undefined))
      context.issues.push({
        code: 'custom',
        message: `a gate needs at least one of ${bounds.join(', ')}`,
        input: context.value,
      });
  });
export type Bounds = z.output<typeof boundsSchema>;

/** One quality gate of a recipe. */
export interface Gate {
  readonly metric: string;
  readonly bounds: Bounds;
  /** Where the recipe states it. */
  readonly where: Where;
}

/** A metric measured on one written format. */
export interface AfterResult {
  readonly format: string;
  readonly result: MetricResult;
}

export interface GateVerdict {
  /** `perplexity increase 2%`. */
  readonly gate: string;
  readonly metric: string;
  readonly dataset: string;
  readonly format: string;
  readonly passed: boolean;
  /** The value after, and the limit it is held against, both in the metric's unit. */
  readonly found: number;
  readonly limit: number;
  readonly unit?: string;
  readonly where: Where;
}

/** A gate that nothing was measured for. */
export interface UnmeasuredGate {
  readonly gate: Gate;
  readonly reason: string;
}

/** Absolute and relative bounds are compared with this much room for the rounding of the comparison itself. */
const roundingRoom = 1e-12;

const within = (found: number, limit: number, sense: 'at most' | 'at least'): boolean => {
  const room = roundingRoom * Math.max(1, Math.abs(limit));
  return sense === 'at most' ? found <= limit + room : found >= limit - room;
};

interface Check {
  readonly bound: (typeof bounds)[number];
  readonly words: string;
  readonly limit: number | undefined;
  readonly sense: 'at most' | 'at least';
}

const shareWords = (share: Share): string =>
  share.kind === 'relative' ? `${Number((share.value * 100).toPrecision(6))}%` : String(share.value);

const shareOf = (share: Share, before: number): number =>
  share.kind === 'relative' ? share.value * Math.abs(before) : share.value;

/** The limits that a gate sets once the value before is known (bounds that need it have none without). */
const checksOf = (given: Bounds, before: number | undefined): Check[] => {
  const checks: (Check | false)[] = [
    given.max !== undefined && { bound: 'max', words: String(given.max), limit: given.max, sense: 'at most' },
    given.min !== undefined && { bound: 'min', words: String(given.min), limit: given.min, sense: 'at least' },
    given.increase !== undefined && {
      bound: 'increase',
      words: shareWords(given.increase),
      limit: before === undefined ? undefined : before + shareOf(given.increase, before),
      sense: 'at most',
    },
    given.drop !== undefined && {
      bound: 'drop',
      words: shareWords(given.drop),
      limit: before === undefined ? undefined : before - shareOf(given.drop, before),
      sense: 'at least',
    },
    given.ratio !== undefined && {
      bound: 'ratio',
      words: String(given.ratio),
      limit: before === undefined ? undefined : given.ratio * before,
      sense: 'at most',
    },
  ];
  return checks.filter((check) => check !== false);
};

/**
 * Holds every gate against what was measured. A value that is not a number passes nothing. A gate that finds no
 * measurement, or no value before to compare with, is returned as unmeasured: that is a failure, not a pass.
 */
export const judgeGates = (
  gates: readonly Gate[],
  before: readonly MetricResult[],
  after: readonly AfterResult[],
): { readonly verdicts: GateVerdict[]; readonly unmeasured: UnmeasuredGate[] } => {
  const verdicts: GateVerdict[] = [];
  const unmeasured: UnmeasuredGate[] = [];
  for (const gate of gates) {
    const { dataset, format } = gate.bounds;
    const held = after.filter(
      ({ format: name, result }) =>
        result.metric === gate.metric &&
        (dataset === undefined || result.dataset === dataset) &&
        (format === undefined || name === format),
    );
    if (held.length === 0) unmeasured.push({ gate, reason: 'nothing was measured for it' });
    for (const { format: name, result } of held) {
      const old = before.find((other) => other.metric === result.metric && other.dataset === result.dataset);
      for (const check of checksOf(gate.bounds, old?.value)) {
        if (check.limit === undefined) {
          unmeasured.push({ gate, reason: `'${check.bound}' compares with the value before, which was not measured` });
          continue;
        }
        verdicts.push({
          gate: `${gate.metric} ${check.bound} ${check.words}`,
          metric: gate.metric,
          dataset: result.dataset,
          format: name,
          passed: within(result.value, check.limit, check.sense),
          found: result.value,
          limit: check.limit,
          ...(result.unit === undefined ? {} : { unit: result.unit }),
          where: gate.where,
        });
      }
    }
  }
  return { verdicts, unmeasured };
};
