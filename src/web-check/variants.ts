import { existsSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, extname, join, relative } from 'node:path';
import { inputFiles, openModel } from '../artifact/open.ts';
import type { NumericArray } from '../calibration/dataset.ts';
import { openDataset } from '../calibration/samples/table.ts';
import { CompressError } from '../errors.ts';
import { bindingOf, bindSample } from '../execution/feeds.ts';
import { onnxruntimeEngine } from '../execution/onnxruntime.ts';
import { type Feeds, withSession } from '../execution/session.ts';
import { datasetContext } from '../recipe/prepare.ts';

/** One ONNX file of an output, with inputs and what onnxruntime gives for them natively. */
export interface Variant {
  /** Path from the folder that was named. */
  readonly name: string;
  readonly file: string;
  /** Files of external data. */
  readonly external: readonly { readonly path: string; readonly file: string }[];
  readonly bytes: number;
  readonly feeds: Feeds;
  readonly expected: ReadonlyMap<string, NumericArray>;
}

/** Every ONNX file of a folder (its own, of each format in it, of their `onnx` folders), or the one file named. */
export const findVariants = (path: string): string[] => {
  if (statSync(path, { throwIfNoEntry: false })?.isFile()) return [path];
  if (!existsSync(path))
    throw new CompressError({ code: 'not-found', message: 'there is no such file or folder', where: { file: path } });
  const found = readdirSync(path, { recursive: true, encoding: 'utf8' })
    .filter((file) => extname(file) === '.onnx' && file.split(/[\\/]/).length <= 3)
    .sort()
    .map((file) => join(path, file));
  if (found.length > 0) return found;
  throw new CompressError({
    code: 'not-found',
    message: 'the folder holds no .onnx file',
    where: { file: path },
    hint: 'Name an output that was written as onnx, onnx-matmulnbits, onnx-qdq or transformersjs.',
  });
};

/** Opens a variant, draws inputs for it and runs it natively. */
export const prepareVariant = async (
  file: string,
  root: string,
  { seed, signal }: { readonly seed: number; readonly signal: AbortSignal },
): Promise<Variant> => {
  const model = await openModel(file);
  const { program } = model;
  const dataset = await openDataset(
    { random: null, samples: 1 },
    datasetContext(model, { baseDirectory: dirname(file), seed }),
  );
  const sample = await dataset.sample(0);
  if (sample.kind === 'sequence')
    throw new CompressError({
      code: 'unsupported',
      message: 'a model that carries state from step to step is not tried in the browser',
      where: { file },
    });
  const feeds = bindSample(sample, bindingOf(program), 'random inputs');
  const outputs = program.graph.outputs.map((value) => value.name);
  const expected = await withSession(onnxruntimeEngine, program, { signal }, (session) => session.run(feeds, outputs));
  const folder = dirname(file);
  const external = inputFiles(file, model)
    .filter((each) => each !== file && dirname(each) === folder && !extname(each).match(/^\.(json|txt|model)$/))
    .map((each) => ({ path: basename(each), file: each }));
  const bytes = [file, ...external.map((each) => each.file)].reduce((sum, each) => sum + statSync(each).size, 0);
  return { name: relative(root, file) || basename(file), file, external, bytes, feeds, expected };
};
