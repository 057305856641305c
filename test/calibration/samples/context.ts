import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { DatasetContext } from '../../../src/calibration/samples/kind.ts';

/** A context without a model, with some of its fields set. */
export const contextWith = (fields: Partial<DatasetContext> = {}): DatasetContext => ({
  baseDirectory: '/',
  seed: 7,
  modelInputs: [],
  ...fields,
});

/** A folder that is gone when the test ends. */
export const temporaryFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'modelpress-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
};
