import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CompressError } from '../errors.ts';

/** A version of onnxruntime-web on this machine. */
export interface WebRuntime {
  readonly version: string;
  /** Its folder of JavaScript and WebAssembly. */
  readonly dist: string;
}

/** Where a package is installed: beside the working directory first, then beside modelpress. */
const packageFolder = (name: string, directory: string): string | undefined => {
  for (const base of [pathToFileURL(join(directory, 'package.json')), import.meta.url]) {
    const paths = createRequire(base).resolve.paths(name) ?? [];
    const found = paths.map((path) => join(path, name)).find((path) => existsSync(join(path, 'package.json')));
    if (found !== undefined) return found;
  }
  return undefined;
};

const runtimeAt = (folder: string): WebRuntime => {
  const manifest = join(folder, 'package.json');
  if (!existsSync(manifest))
    throw new CompressError({
      code: 'not-found',
      message: 'there is no onnxruntime-web in this folder',
      where: { file: folder },
      hint: 'Name the folder of the package: --runtime node_modules/onnxruntime-web.',
    });
  const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
  return { version, dist: join(folder, 'dist') };
};

/** The versions of onnxruntime-web to try: the folders named, or the one that is installed. */
export const findRuntimes = (folders: readonly string[], directory: string): WebRuntime[] => {
  if (folders.length > 0) return folders.map(runtimeAt);
  const installed = packageFolder('onnxruntime-web', directory);
  if (installed !== undefined) return [runtimeAt(installed)];
  throw new CompressError({
    code: 'unsupported',
    message: 'onnxruntime-web is not installed',
    hint: 'Install it beside your project (npm install --save-dev onnxruntime-web), or name its folder with --runtime.',
  });
};

/** Names under which browsers built on Chromium are installed. */
const browserNames = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome', 'msedge'];

/** A browser on the search path; undefined where there is none. */
export const findBrowser = (): string | undefined => {
  const ending = process.platform === 'win32' ? '.exe' : '';
  const folders = (process.env.PATH ?? '').split(delimiter);
  return browserNames
    .flatMap((name) => folders.map((folder) => join(folder, `${name}${ending}`)))
    .find((path) => existsSync(path));
};

/** What is used of playwright-core. */
export interface Playwright {
  readonly chromium: {
    launch(options: { executablePath: string; headless: boolean; args: readonly string[] }): Promise<Browser>;
  };
}

export interface Browser {
  version(): string;
  newPage(): Promise<Page>;
  close(): Promise<void>;
}

export interface Page {
  goto(url: string): Promise<unknown>;
  evaluate<Result>(script: string): Promise<Result>;
  close(): Promise<void>;
}

/** playwright-core where it is installed. @throws 'unsupported' with what to type. */
export const loadPlaywright = async (directory: string): Promise<Playwright> => {
  const folder = packageFolder('playwright-core', directory) ?? packageFolder('playwright', directory);
  if (folder !== undefined) return createRequire(import.meta.url)(folder) as Playwright;
  throw new CompressError({
    code: 'unsupported',
    message: 'playwright-core, which drives the browser, is not installed',
    hint: 'Install it (npm install --save-dev playwright-core), or try without a browser: --in node.',
  });
};
