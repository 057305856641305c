import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { FormatCard } from '../../src/artifact/formats/format.ts';
import { formats } from '../../src/artifact/formats/index.ts';
import { manifestBytes, metricEntry, readManifest, verifyManifest } from '../../src/artifact/manifest.ts';
import { manifestJsonSchema, manifestSchema } from '../../src/artifact/manifest-schema.ts';
import { openModel } from '../../src/artifact/open.ts';
import { type ArtifactFacts, ArtifactWriter, hashInputs, writeArtifact } from '../../src/artifact/write.ts';
import type { Model } from '../../src/ir/model.ts';
import { hashFile } from '../../src/kernels/index.ts';
import { tinyModel } from './tiny-models.ts';

let folder: string;
let output: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'modelpress-artifact-'));
  output = join(folder, 'out');
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

const facts: ArtifactFacts = {
  version: '1.2.3',
  family: 'llama',
  recipe: 'model: x\n# words, "quoted"\n',
  inputs: [],
  metrics: [],
  findings: [],
};

const choose = (...names: string[]): { card: FormatCard; options: unknown }[] =>
  formats.filter(({ name }) => names.includes(name)).map((card) => ({ card, options: card.options.parse({}) }));

const write = (model: Model = tinyModel(), chosen = choose('onnx'), inputs: string[] = []) =>
  writeArtifact({ output, inputs, model, formats: chosen, facts });

/** A format whose writing fails half way. */
const failing: FormatCard = {
  ...(choose('onnx')[0] as { card: FormatCard }).card,
  async write(_model, directory) {
    writeFileSync(join(directory, 'half.onnx'), 'half');
    throw new Error('half way');
  },
};

const root = join(import.meta.dirname, '../..');

/** Writes the tiny model into the folder that it is given and says how that went; for a process under a limit. */
const writingScript = `
import { formats } from '${root}/src/artifact/formats/index.ts';
import { writeArtifact } from '${root}/src/artifact/write.ts';
import { formatError } from '${root}/src/errors.ts';
import { tinyModel } from '${root}/test/artifact/tiny-models.ts';
const facts = { version: '0.0.0', family: undefined, recipe: undefined, inputs: [], metrics: [], findings: [] };
const card = formats[0];
const request = { output: process.argv[2], inputs: [], model: tinyModel(), formats: [{ card, options: card.options.parse({}) }], facts };
await writeArtifact(request).then(() => console.log('written'), (error) => console.log(formatError(error)));
`;

const everythingIn = (path: string): string[] => readdirSync(path, { recursive: true, encoding: 'utf8' }).sort();

describe('an output folder', () => {
  it('holds the files of one format, the companions and the manifest', async () => {
    const tokenizer = join(folder, 'tokenizer.json');
    writeFileSync(tokenizer, '{}');
    const companions = [
      { name: '1_Pooling/config.json', path: tokenizer },
      { name: 'tokenizer.json', path: tokenizer },
    ];
    const manifest = await write({ ...tinyModel(), companions });
    expect(everythingIn(output)).toEqual([
      '1_Pooling',
      join('1_Pooling', 'config.json'),
      'manifest.json',
      'model.onnx',
      'tokenizer.json',
    ]);
    expect(manifest.files.map((file) => file.path)).toEqual(['1_Pooling/config.json', 'model.onnx', 'tokenizer.json']);
    expect((await openModel(output)).program.graph.inputs.map(({ name }) => name)).toEqual(['x', 'flag']);
    expect(readdirSync(folder).sort()).toEqual(['out', 'tokenizer.json']);
  });

  it('has a folder for each of several formats, numbered when one is written twice', async () => {
    const chosen = [...choose('onnx', 'onnx-matmulnbits'), ...choose('onnx')];
    const manifest = await write(tinyModel(), chosen);
    expect(manifest.formats.map(({ entry }) => entry)).toEqual([
      'onnx/model.onnx',
      'onnx-matmulnbits/model.onnx',
      'onnx-2/model.onnx',
    ]);
    await expect(openModel(output)).rejects.toMatchObject({ code: 'usage' });
    const bytes = (name: string) => readFileSync(join(output, name, 'model.onnx'));
    expect(bytes('onnx').equals(bytes('onnx-2'))).toBe(true);
  });

  it('is the same each time', async () => {
    const first = await write();
    const before = readFileSync(join(output, 'manifest.json'));
    expect(await write()).toEqual(first);
    expect(readFileSync(join(output, 'manifest.json')).equals(before)).toBe(true);
  });

  it('replaces an earlier output wholly', async () => {
    await write(tinyModel(), choose('onnx', 'safetensors'));
    await write();
    expect(everythingIn(output)).toEqual(['manifest.json', 'model.onnx']);
  });

  it.skipIf(process.platform === 'win32')('that is a link is replaced behind the link', async () => {
    mkdirSync(join(folder, 'real'));
    symlinkSync(join(folder, 'real'), output);
    await write();
    expect(everythingIn(join(folder, 'real'))).toEqual(['manifest.json', 'model.onnx']);
  });
});

describe('until the new output is complete', () => {
  it('the old one is untouched, and a failure leaves nothing behind', async () => {
    await write();
    const before = readFileSync(join(output, 'manifest.json'));
    const options = choose('onnx')[0]?.options;
    await expect(write(tinyModel(), [{ card: failing, options }])).rejects.toThrow('half way');
    expect(readdirSync(folder)).toEqual(['out']);
    expect(readFileSync(join(output, 'manifest.json')).equals(before)).toBe(true);
  });

  it('formats can be measured where they are staged', async () => {
    const writer = await ArtifactWriter.create(output, { inputs: [], formatCount: 1 });
    const [{ card, options } = { card: failing, options: {} }] = choose('onnx');
    const written = await writer.writeFormat(card, options, tinyModel());
    expect((await openModel(written.entry ?? '')).program.graph.nodes.length).toBeGreaterThan(0);
    expect(existsSync(output)).toBe(false);
    await writer.addFile('report/report.json', new TextEncoder().encode('{}'));
    await writer.commit(facts);
    expect(existsSync(join(output, 'report', 'report.json'))).toBe(true);
  });

  it('what a killed run left behind is cleared, and an output that it had moved away comes back', async () => {
    await write();
    const dead = 2 ** 22 + 12345;
    mkdirSync(join(folder, `.out.partial-${dead}`));
    execFileSync(process.execPath, [
      '-e',
      `require('fs').renameSync(${JSON.stringify(output)}, ${JSON.stringify(join(folder, `.out.partial-${dead}.replaced`))})`,
    ]);
    const writer = await ArtifactWriter.create(output, { inputs: [], formatCount: 1 });
    await writer.discard();
    expect(readdirSync(folder)).toEqual(['out']);
    expect(everythingIn(output)).toEqual(['manifest.json', 'model.onnx']);
  });

  it('the staging folder of a run that is still going is left alone', async () => {
    const other = join(folder, `.out.partial-${process.ppid}`);
    mkdirSync(other);
    await write();
    expect(existsSync(other)).toBe(true);
  });
});

describe('an output is refused', () => {
  it('when it is, or holds, an input', async () => {
    await write();
    const input = join(output, 'model.onnx');
    await expect(write(tinyModel(), choose('onnx'), [input])).rejects.toMatchObject({ code: 'unsafe' });
    await expect(write(tinyModel(), choose('onnx'), [output])).rejects.toMatchObject({ code: 'unsafe' });
    expect(everythingIn(output)).toEqual(['manifest.json', 'model.onnx']);
  });

  it.skipIf(process.platform === 'win32')('when it holds an input behind a link', async () => {
    await write();
    symlinkSync(output, join(folder, 'link'));
    const input = join(folder, 'link', 'model.onnx');
    await expect(write(tinyModel(), choose('onnx'), [input])).rejects.toMatchObject({ code: 'unsafe' });
  });

  it('but not when it lies beside or inside of the folder of an input', async () => {
    const input = join(folder, 'model.onnx');
    writeFileSync(input, 'x');
    await write(tinyModel(), choose('onnx'), [input]);
    expect(existsSync(join(output, 'manifest.json'))).toBe(true);
  });

  it('when it holds files that are no output', async () => {
    mkdirSync(output);
    writeFileSync(join(output, 'thesis.tex'), 'words');
    await expect(write()).rejects.toMatchObject({ code: 'unsafe' });
    expect(everythingIn(output)).toEqual(['thesis.tex']);
  });

  it('when a file has its name, or a part of its path', async () => {
    writeFileSync(output, 'x');
    await expect(write()).rejects.toMatchObject({ code: 'resource' });
    const below = writeArtifact({
      output: join(output, 'sub'),
      inputs: [],
      model: tinyModel(),
      formats: choose('onnx'),
      facts,
    });
    await expect(below).rejects.toMatchObject({ code: 'resource' });
    expect(readdirSync(folder)).toEqual(['out']);
  });

  it.skipIf(process.platform === 'win32' || process.getuid?.() === 0)(
    'when the folder cannot be written to',
    async () => {
      chmodSync(folder, 0o555);
      await expect(write()).rejects.toMatchObject({ code: 'resource' });
      chmodSync(folder, 0o755);
    },
  );

  it.skipIf(process.platform === 'win32')('when the disk does not take it; nothing is left behind', async () => {
    await write();
    const before = readFileSync(join(output, 'manifest.json'));
    const script = join(folder, 'write.mts');
    writeFileSync(script, writingScript);
    const command = `ulimit -f 4; exec "${process.execPath}" --import tsx "${script}" "${output}"`;
    const environment = { ...process.env, TSX_DISABLE_CACHE: '1' };
    const said = execFileSync('bash', ['-c', command], { cwd: root, encoding: 'utf8', env: environment });
    rmSync(script);
    expect(said).toMatch(/cannot write: the file would be larger/);
    expect(readdirSync(folder)).toEqual(['out']);
    expect(readFileSync(join(output, 'manifest.json')).equals(before)).toBe(true);
  });
});

describe('the manifest', () => {
  it('says of every weight how it stands, and of every file its hash', async () => {
    const manifest = await write(tinyModel(), choose('onnx-matmulnbits'));
    const weights = Object.fromEntries(manifest.formats[0]?.weights.map((weight) => [weight.name, weight]) ?? []);
    expect(weights.w).toEqual({
      name: 'w',
      dtype: 'float32',
      shape: [32, 8],
      bits: 4,
      groupSize: 16,
      method: 'rtn',
      form: 'MatMulNBits',
    });
    expect(weights.plain).toMatchObject({ bits: 32, groupSize: 0, method: 'none', form: 'plain' });
    const [file] = manifest.files;
    expect(file?.blake3).toBe(await hashFile(join(output, file?.path ?? '')));
    expect(manifest.recipe).toBe(facts.recipe);
    expect(readManifest(output)).toEqual(manifest);
  });

  it('is verified: changed, shortened and missing files are found', async () => {
    const { files } = await write(tinyModel(), choose('onnx', 'safetensors'));
    expect((await verifyManifest(output)).problems).toEqual([]);
    const [onnx, weights] = files.map((file) => join(output, file.path)) as [string, string];
    const bytes = readFileSync(onnx);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(onnx, bytes);
    rmSync(weights);
    expect((await verifyManifest(output)).problems.map(({ code }) => code)).toEqual(['mismatch', 'not-found']);
    writeFileSync(onnx, bytes.subarray(1));
    expect((await verifyManifest(output)).problems[0]?.message).toMatch(/bytes, the manifest says/);
  });

  it('that names files outside of its folder is not followed', async () => {
    const manifest = await write();
    const [file] = manifest.files;
    const files = [{ path: '../secret', bytes: file?.bytes ?? 0, blake3: file?.blake3 ?? '' }];
    writeFileSync(join(output, 'manifest.json'), manifestBytes({ ...manifest, files }));
    expect((await verifyManifest(output)).problems[0]?.code).toBe('unsafe');
  });

  it('of another version, or that is none, is refused by what is wrong', async () => {
    mkdirSync(output);
    writeFileSync(join(output, 'manifest.json'), '{"schemaVersion": 2}');
    expect(() => readManifest(output)).toThrow(expect.objectContaining({ code: 'unsupported' }));
    writeFileSync(join(output, 'manifest.json'), '{"schemaVersion": 1}');
    expect(() => readManifest(output)).toThrow(expect.objectContaining({ code: 'malformed' }));
    await expect(verifyManifest(folder)).rejects.toMatchObject({ code: 'not-found' });
  });

  it('holds metrics, with null for what is not finite, and inputs by relative names', async () => {
    const measured = { metric: 'perplexity', dataset: 'text', value: Number.NaN, count: 3, better: 'lower' } as const;
    mkdirSync(join(folder, 'model', 'sub'), { recursive: true });
    const inputs = ['model/a.onnx', 'model/sub/b.data'].map((name) => join(folder, name));
    for (const input of inputs) writeFileSync(input, input);
    const manifest = await writeArtifact({
      output,
      inputs,
      model: tinyModel(),
      formats: choose('onnx'),
      facts: { ...facts, metrics: [metricEntry('after', measured, 'onnx')], inputs: await hashInputs(inputs) },
    });
    expect(readManifest(output)?.metrics).toEqual([{ model: 'after', format: 'onnx', ...measured, value: null }]);
    expect(manifest.inputs.map(({ name }) => name)).toEqual(['a.onnx', 'sub/b.data']);
  });

  it('follows the published schema, which is up to date', () => {
    const published = readFileSync(join(import.meta.dirname, '../../schemas/manifest.schema.json'), 'utf8');
    expect(JSON.parse(published)).toEqual(manifestJsonSchema());
    expect(manifestSchema.safeParse({ schemaVersion: 1, surprise: true }).success).toBe(false);
  });
});
