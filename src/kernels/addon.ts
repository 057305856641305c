import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { CompressError } from '../errors.ts';
import type { NativeAddon } from './native.ts';
import { platformPackage } from './platform.ts';

/** Version of the addon's functions that this facade is written for. */
const interfaceVersion = 5;
const built = fileURLToPath(new URL('../../native/modelpress.node', import.meta.url));

let loaded: NativeAddon | undefined;

/** The native addon, loaded at the first call. @throws 'unsupported' with what to type when it cannot be loaded. */
export const addon = (): NativeAddon => {
  loaded ??= load(addonLocation().path);
  return loaded;
};

/** Where the addon comes from. */
export interface AddonLocation {
  readonly path: string;
  /** 'built' on this machine, 'prebuilt' by a package for this platform, or 'missing'. */
  readonly origin: 'built' | 'prebuilt' | 'missing';
  /** The package that holds it for this platform; undefined where none is published. */
  readonly package: string | undefined;
}

/** An addon built on this machine comes before the one of the platform's package. */
export const addonLocation = (): AddonLocation => {
  const name = platformPackage();
  if (existsSync(built)) return { path: built, origin: 'built', package: name };
  const prebuilt = name === undefined ? undefined : resolvePackage(name);
  return { path: prebuilt ?? built, origin: prebuilt === undefined ? 'missing' : 'prebuilt', package: name };
};

const resolvePackage = (name: string): string | undefined => {
  try {
    return createRequire(import.meta.url).resolve(name);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'MODULE_NOT_FOUND') return undefined;
    throw error;
  }
};

/** Loads and checks an addon file. */
export const load = (path: string): NativeAddon => {
  const hint =
    'Run `npm run build` in the folder of modelpress: it needs a Rust toolchain and says how to install one. `compress doctor` shows what is there.';
  const refuse = (message: string, cause?: unknown): CompressError =>
    new CompressError({ code: 'unsupported', message, where: { file: path }, hint, ...(cause ? { cause } : {}) });
  if (!existsSync(path))
    throw refuse(
      `there is no native addon for ${process.platform}-${process.arch}: none was built, and no package brought one`,
    );
  let found: Partial<NativeAddon>;
  try {
    found = createRequire(import.meta.url)(path) as Partial<NativeAddon>;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw refuse(`the native addon does not load on ${process.platform}-${process.arch}: ${reason}`, cause);
  }
  const version = found.interfaceVersion?.();
  if (version !== interfaceVersion)
    throw refuse(
      `the native addon was built from other sources (interface ${version ?? 'unknown'}, expected ${interfaceVersion})`,
    );
  return found as NativeAddon;
};

/** Sets the number of threads of all kernels; 0 for one per core. Results do not depend on it. */
export const setThreads = (threads: number): void => {
  if (!Number.isInteger(threads) || threads < 0 || threads > 1024)
    throw new CompressError({ code: 'usage', message: `${threads} is no number of threads`, hint: 'Use 0 to 1024.' });
  addon().setThreads(threads);
};

/** The number of threads that kernels run in. */
export const threadCount = (): number => addon().threadCount();
