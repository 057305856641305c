import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CompressError } from '../errors.ts';
import { serveFiles } from './file-server.ts';
import { type ProbeAnswer, type ProbeRequest, probe } from './probe.ts';
import { loadPlaywright, type WebRuntime } from './runtimes.ts';
import type { Variant } from './variants.ts';
import { wireFeeds } from './wire.ts';

/** A place where variants are tried. */
export interface Environment {
  /** 'chromium 130.0' or 'node 22.1'. */
  readonly name: string;
  try(variant: Variant, runtime: WebRuntime): Promise<ProbeAnswer>;
  close(): Promise<void>;
}

/** Names that tools put into compiled functions, for functions that are sent as text. */
const shim = 'globalThis.__name ??= (value) => value;';

/** onnxruntime-web's WebAssembly in a process of Node of its own. */
export const nodeEnvironment = (signal: AbortSignal): Environment => ({
  name: `node ${process.versions.node}`,
  try: async (variant, { dist }) => {
    const request: ProbeRequest = {
      runtime: pathToFileURL(join(dist, 'ort.node.min.mjs')).href,
      wasm: pathToFileURL(`${dist}/`).href,
      model: variant.file,
      external: variant.external.map(({ path, file }) => ({ path, place: file })),
      feeds: wireFeeds(variant.feeds),
    };
    const source = `${shim}
import { readFile } from 'node:fs/promises';
let text = '';
for await (const part of process.stdin) text += part;
const answer = await (${probe.toString()})(
  JSON.parse(text),
  async (place) => new Uint8Array(await readFile(place)),
  (place) => import(place),
);
process.stdout.write(JSON.stringify(answer), () => process.exit(0));`;
    return runNode(source, JSON.stringify(request), signal);
  },
  close: async () => {},
});

const runNode = (source: string, input: string, signal: AbortSignal): Promise<ProbeAnswer> =>
  new Promise((finished, failed) => {
    const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
      stdio: ['pipe', 'pipe', 'pipe'],
      signal,
    });
    let [out, err] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (part: string) => {
      out += part;
    });
    child.stderr.setEncoding('utf8').on('data', (part: string) => {
      err += part;
    });
    child.on('error', failed);
    child.on('close', (code) => {
      if (code === 0 && out !== '') finished(JSON.parse(out) as ProbeAnswer);
      else finished({ ok: false, error: err.trim().split('\n').at(-1) ?? `ended with ${code}` });
    });
    child.stdin.on('error', () => {});
    child.stdin.end(input);
  });

/** A headless browser with a page of its own for every variant; files come from a server on the loopback interface. */
export const browserEnvironment = async (executablePath: string, directory: string): Promise<Environment> => {
  const { chromium } = await loadPlaywright(directory);
  const places = new Map<string, string>();
  const server = await serveFiles((path) => {
    const [, area = '', ...rest] = path.split('/');
    const name = rest.join('/');
    const place = places.get(area) ?? places.get(path);
    return place === undefined ? undefined : places.has(path) ? place : join(place, name.replaceAll('..', ''));
  });
  const browser = await chromium
    .launch({ executablePath, headless: true, args: ['--no-sandbox'] })
    .catch(async (cause: unknown) => {
      await server.close();
      throw new CompressError({
        code: 'unsupported',
        message: `the browser ${executablePath} does not start: ${cause instanceof Error ? cause.message.split('\n')[0] : cause}`,
        hint: 'Name another with --browser, or try without one: --in node.',
        cause,
      });
    });
  return {
    name: `chromium ${browser.version()}`,
    try: async (variant, { dist }) => {
      places.clear();
      places.set('runtime', dist);
      places.set('/model', variant.file);
      for (const [index, { file }] of variant.external.entries()) places.set(`/external/${index}`, file);
      const request: ProbeRequest = {
        runtime: '/runtime/ort.wasm.min.mjs',
        wasm: '/runtime/',
        model: '/model',
        external: variant.external.map(({ path }, index) => ({ path, place: `/external/${index}` })),
        feeds: wireFeeds(variant.feeds),
      };
      const page = await browser.newPage();
      try {
        await page.goto(`${server.origin}/`);
        return await page.evaluate<ProbeAnswer>(`(async () => { ${shim}
const read = async (place) => {
  const response = await fetch(place);
  if (!response.ok) throw new Error(place + ' is not served: ' + response.status);
  return new Uint8Array(await response.arrayBuffer());
};
return (${probe.toString()})(${JSON.stringify(request)}, read, (place) => import(place)); })()`);
      } finally {
        await page.close();
      }
    },
    close: async () => {
      await browser.close();
      await server.close();
    },
  };
};
