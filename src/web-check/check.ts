import { statSync } from 'node:fs';
import { dirname } from 'node:path';
import { floatsOfArray } from '../execution/arrays.ts';
import type { Environment } from './environments.ts';
import type { ProbeAnswer } from './probe.ts';
import type { WebRuntime } from './runtimes.ts';
import { findVariants, prepareVariant, type Variant } from './variants.ts';
import { floatsOfWire, relativeDifference } from './wire.ts';

/** How a variant fared in a version of the runtime. */
export interface CheckRow {
  readonly variant: string;
  readonly runtime: string;
  readonly environment: string;
  /** 'ok': runs and agrees. 'differs': runs with other outputs than the native runtime. 'fails': does not run. */
  readonly status: 'ok' | 'differs' | 'fails';
  readonly bytes: number;
  readonly loadMs?: number;
  readonly runMs?: number;
  readonly memoryBytes?: number;
  /** Greatest difference of an output from the native runtime's, as a share of its greatest value. */
  readonly difference?: number;
  readonly error?: string;
}

export interface CheckOptions {
  readonly runtimes: readonly WebRuntime[];
  readonly environment: Environment;
  /** Greatest difference that counts as agreement. */
  readonly tolerance: number;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly onRow: (row: CheckRow) => void;
}

const rowOf = (variant: Variant, answer: ProbeAnswer, tolerance: number): Omit<CheckRow, 'runtime' | 'environment'> => {
  const base = { variant: variant.name, bytes: variant.bytes };
  if (!answer.ok) return { ...base, status: 'fails', error: answer.error };
  let difference = 0;
  for (const [name, expected] of variant.expected) {
    const found = answer.outputs[name];
    const floats = found && floatsOfWire(found);
    if (expected.dtype !== 'float32' && expected.dtype !== 'float16') continue;
    difference = Math.max(
      difference,
      floats ? relativeDifference(floatsOfArray(expected), floats) : Number.POSITIVE_INFINITY,
    );
  }
  const { loadMs, runMs, memoryBytes } = answer;
  return { ...base, status: difference <= tolerance ? 'ok' : 'differs', loadMs, runMs, memoryBytes, difference };
};

/** Tries every ONNX file of an output in every version of onnxruntime-web, against the native runtime. */
export const checkWeb = async (path: string, options: CheckOptions): Promise<CheckRow[]> => {
  const { runtimes, environment, tolerance, seed, signal, onRow } = options;
  const root = statSync(path, { throwIfNoEntry: false })?.isDirectory() ? path : dirname(path);
  const rows: CheckRow[] = [];
  for (const file of findVariants(path)) {
    const variant = await prepareVariant(file, root, { seed, signal });
    for (const runtime of runtimes) {
      signal.throwIfAborted();
      const answer = await environment.try(variant, runtime);
      const row: CheckRow = {
        ...rowOf(variant, answer, tolerance),
        runtime: runtime.version,
        environment: environment.name,
      };
      onRow(row);
      rows.push(row);
    }
  }
  return rows;
};
