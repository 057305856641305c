import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { availableParallelism, freemem, totalmem } from 'node:os';
import { join } from 'node:path';
import { CompressError, formatError } from '../errors.ts';
import { addonLocation } from '../kernels/addon.ts';
import { hashBytes } from '../kernels/index.ts';
import { cacheDirectory } from '../recipe/cache.ts';
import { formatBytes } from '../recipe/quantity.ts';
import { writeWhole } from '../recipe/store.ts';
import { packageVersion, toolVersion } from '../recipe/version.ts';

/** One thing that was looked at. 'note': works, but something is worth knowing. */
export interface CheckupResult {
  readonly name: string;
  readonly state: 'ok' | 'note' | 'broken';
  readonly found: string;
  /** What to do about it. */
  readonly advice?: string;
}

/** BLAKE3 of the empty message, from the algorithm's specification. */
const emptyHash = 'af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262';

const leastMemory = 2 * 2 ** 30;

/** Looks at everything that the work needs on this machine. */
export const examine = async (directory: string): Promise<CheckupResult[]> => [
  { name: 'modelpress', state: 'ok', found: toolVersion() },
  checkNode(),
  checkAddon(),
  await checkRuntime(),
  checkRust(),
  checkMemory(),
  { name: 'processor', state: 'ok', found: `${process.arch}, ${availableParallelism()} threads` },
  checkCache(cacheDirectory(directory)),
];

const checkNode = (): CheckupResult => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const recent = major > 20 || (major === 20 && minor >= 12);
  return recent
    ? { name: 'node', state: 'ok', found: process.versions.node }
    : { name: 'node', state: 'broken', found: process.versions.node, advice: 'Install Node 20.12 or newer.' };
};

const checkAddon = (): CheckupResult => {
  try {
    const works = hashBytes(new Uint8Array(0)) === emptyHash;
    return works
      ? { name: 'native addon', state: 'ok', found: `${addonOrigin()}, loads and computes` }
      : {
          name: 'native addon',
          state: 'broken',
          found: 'gives wrong results',
          advice: 'Build it again: npm run build',
        };
  } catch (error) {
    return broken('native addon', error, 'Build it with `npm run build` (needs Rust).');
  }
};

const addonOrigin = (): string => {
  const { origin, package: name } = addonLocation();
  return origin === 'prebuilt' ? `prebuilt (${name})` : 'built on this machine';
};

const checkRuntime = async (): Promise<CheckupResult> => {
  try {
    await import('onnxruntime-node');
    return { name: 'onnxruntime', state: 'ok', found: packageVersion('onnxruntime-node') ?? 'unknown version' };
  } catch (error) {
    return broken('onnxruntime', error, 'Install the dependencies again: npm install');
  }
};

const checkRust = (): CheckupResult => {
  try {
    const found = execFileSync('cargo', ['--version'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
      timeout: 10_000,
    });
    return { name: 'rust', state: 'ok', found: found.trim() };
  } catch {
    return {
      name: 'rust',
      state: 'note',
      found: 'not found',
      advice: 'Only needed to build the native addon: https://rustup.rs',
    };
  }
};

const checkMemory = (): CheckupResult => {
  const found = `${formatBytes(freemem())} free of ${formatBytes(totalmem())}`;
  return freemem() >= leastMemory
    ? { name: 'memory', state: 'ok', found }
    : { name: 'memory', state: 'note', found, advice: 'Give --max-memory a small value, such as 500MB.' };
};

const checkCache = (path: string): CheckupResult => {
  const probe = join(path, `probe-${process.pid}`);
  try {
    mkdirSync(path, { recursive: true });
    writeWhole(probe, 'probe');
    rmSync(probe);
    return { name: 'cache', state: 'ok', found: path };
  } catch (error) {
    return broken('cache', error, 'Set COMPRESS_CACHE to a folder that can be written.');
  }
};

const broken = (name: string, error: unknown, advice: string): CheckupResult => ({
  name,
  state: 'broken',
  found: error instanceof CompressError ? formatError(error) : error instanceof Error ? error.message : String(error),
  advice,
});
