import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { fixture, freshFolder, writeRecipe } from '../recipe/tiny-run.ts';
import { capture } from './capture.ts';

describe('what people get wrong', () => {
  test('an error in a recipe shows the line with a caret', async () => {
    const folder = freshFolder();
    const recipe = writeRecipe(folder, 'model: m.onnx\noutput: out\nstages:\n  - quantize: { weights: { bit: 4 } }\n');
    const { exitCode, out, err } = await capture(['run', recipe]);
    expect([exitCode, out]).toEqual([2, '']);
    expect(err).toBe(`error: ${recipe}:4:28, key stages.0.quantize.weights.bit: unknown key 'bit'
  3 │ stages:
> 4 │   - quantize: { weights: { bit: 4 } }
    │                            ^
  hint: Did you mean 'bits'?
  more:  docs/troubleshooting.md#recipe
`);
  });

  test('a long line is cut around the place', async () => {
    const folder = freshFolder();
    const long = 'x'.repeat(500);
    const recipe = writeRecipe(
      folder,
      `model: m.onnx\noutput: out\nstages: [ "${long}", { quantize: { bit: 4 } }, "${long}" ]\n`,
    );
    const { err } = await capture(['run', recipe]);
    const lines = err.split('\n');
    const marked = lines.findIndex((line) => line.startsWith('> 3 │') && line.includes('bit: 4'));
    expect(marked).toBeGreaterThan(0);
    for (const line of lines.slice(marked, marked + 2)) expect(line.length).toBeLessThan(180);
    expect(lines[marked]?.slice(lines[marked + 1]?.indexOf('^'))).toMatch(/^(quantize|bit)/);
  });

  test('a wrong flag value names the flag', async () => {
    const { exitCode, err } = await capture([
      'quantize',
      fixture('tiny-cnn', 'model.onnx'),
      '--output',
      'x',
      '--bits',
      '5',
    ]);
    expect(exitCode).toBe(2);
    expect(err).toBe('error: --bits: expected auto, 2, 3, 4 or 8, found 5\n  more:  docs/troubleshooting.md#recipe\n');
  });

  test('a missing output names the flag that gives it', async () => {
    const { exitCode, err } = await capture(['quantize', fixture('tiny-cnn', 'model.onnx')]);
    expect(exitCode).toBe(2);
    expect(err).toContain('--output');
  });

  test('a wrong --set names the key', async () => {
    const folder = freshFolder();
    const recipe = writeRecipe(folder, `model: ${fixture('tiny-cnn', 'model.onnx')}\noutput: out\n`);
    const { exitCode, err } = await capture(['run', recipe, '--set', 'seed=many']);
    expect(exitCode).toBe(2);
    expect(err).toContain('--set seed: expected a number, found the text "many"');
  });

  test('an output that would overwrite its input leaves it as it was', async () => {
    const folder = freshFolder();
    const model = join(folder, 'model.onnx');
    const bytes = readFileSync(fixture('tiny-cnn', 'model.onnx'));
    writeFileSync(model, bytes);
    const { exitCode, err } = await capture(['quantize', model, '--output', folder, '--bits', '8']);
    expect(exitCode).toBe(2);
    expect(err).toContain('input');
    expect(readFileSync(model).equals(bytes)).toBe(true);
  });

  test('truncated and foreign files are named, without a stack', async () => {
    const folder = freshFolder();
    const whole = readFileSync(fixture('tiny-cnn', 'model.onnx'));
    const files = {
      'cut.onnx': whole.subarray(0, whole.length / 2),
      'noise.onnx': Buffer.from('GIF89a and not a model'),
      'weights.pt': Buffer.from('PK'),
    };
    for (const [name, bytes] of Object.entries(files)) {
      const path = join(folder, name);
      writeFileSync(path, bytes);
      const { exitCode, err } = await capture(['inspect', path]);
      expect([name, exitCode]).toEqual([name, 2]);
      expect(err).toContain(path);
      expect(err).not.toMatch(/\n\s+at /);
    }
  });

  test('calibration data that is empty or too short says how much there is', async () => {
    const folder = freshFolder();
    writeFileSync(join(folder, 'empty.txt'), '');
    writeFileSync(join(folder, 'short.txt'), 'to be or not');
    const base = [
      'quantize',
      fixture('tiny-llama'),
      '--output',
      join(folder, 'out'),
      '--method',
      'gptq',
      '--calibration',
    ];
    const empty = await capture([...base, 'text:empty.txt,window=64,samples=4'], folder);
    expect([empty.exitCode, empty.err]).toEqual([2, expect.stringContaining('--calibration')]);
    const short = await capture([...base, 'text:short.txt,window=64,samples=4'], folder);
    expect([short.exitCode, short.err]).toEqual([2, expect.stringMatching(/only 1|there are only/)]);
    expect(existsSync(join(folder, 'out'))).toBe(false);
  });

  test('token ids beyond the vocabulary are named', async () => {
    const folder = freshFolder();
    writeFileSync(
      join(folder, 'ids.u16'),
      Buffer.from(Uint16Array.from({ length: 64 }, (_, index) => index * 1000).buffer),
    );
    const { exitCode, err } = await capture(
      ['eval', fixture('tiny-llama'), '--data', 'tokens:ids.u16,window=16'],
      folder,
    );
    expect(exitCode).toBe(2);
    expect(err).toMatch(/vocabulary/);
  });

  test('weights that are not numbers are named', async () => {
    const folder = freshFolder();
    const model = join(folder, 'nan');
    mkdirSync(model);
    for (const name of ['config.json', 'tokenizer.json'])
      writeFileSync(join(model, name), readFileSync(fixture('tiny-llama', name)));
    const weights = readFileSync(fixture('tiny-llama', 'model.safetensors'));
    const headerLength = Number(weights.readBigUInt64LE(0));
    const header = JSON.parse(weights.subarray(8, 8 + headerLength).toString());
    const name = Object.keys(header).find((key) => key.includes('down_proj')) ?? '';
    weights.writeFloatLE(Number.NaN, 8 + headerLength + header[name].data_offsets[0]);
    writeFileSync(join(model, 'model.safetensors'), weights);
    const { exitCode, err } = await capture(['quantize', model, '--output', join(folder, 'out'), '--method', 'rtn']);
    expect(exitCode).toBe(2);
    expect(err).toMatch(/NaN|not finite/);
    expect(err).toContain('down_proj');
    expect(existsSync(join(folder, 'out'))).toBe(false);
  });

  test('a recipe that is a model file is refused before it is read', async () => {
    const { exitCode, err } = await capture(['run', fixture('tiny-llama', 'model.safetensors')]);
    expect(exitCode).toBe(2);
    expect(err).not.toMatch(/\n\s+at /);
  });
});

describe('what works from the command line', () => {
  test('quantize, inspect and compare, as people and as machines read them', async () => {
    const folder = freshFolder();
    const model = fixture('tiny-cnn', 'model.onnx');
    const data = `arrays:${fixture('tiny-cnn', 'evaluation.npz')}`;
    const run = await capture(
      [
        'quantize',
        model,
        '-o',
        'w8',
        '--bits',
        '8',
        '--group-size',
        'row',
        '--evaluation',
        data,
        '--metric',
        'accuracy',
      ],
      folder,
    );
    expect([run.exitCode, run.err]).toEqual([0, '']);
    expect(run.out).toMatch(/accuracy +evaluation +onnx/);
    const inspected = JSON.parse((await capture(['inspect', 'w8', '--verify', '--json'], folder)).out);
    expect(inspected.verification).toEqual({ ok: true, problems: [] });
    expect(inspected.models[0].graph.quantizedWeights.length).toBeGreaterThan(0);
    expect((await capture(['inspect', 'w8'], folder)).out).toContain('8 bits');
    const compared = await capture(['compare', model, 'w8', '--data', data, '--json'], folder);
    expect(JSON.parse(compared.out).metrics.b.map(({ metric }: { metric: string }) => metric)).toContain('agreement');
    const evaluated = await capture(['eval', 'w8', '--data', data, '--metric', 'accuracy'], folder);
    expect(evaluated.out).toMatch(/accuracy +evaluation/);
  });

  test('a failed gate has an exit code of its own, and --json holds the report', async () => {
    const folder = freshFolder();
    const recipe = writeRecipe(
      folder,
      `model: ${fixture('tiny-cnn', 'model.onnx')}\noutput: out\nstages:\n  - quantize: { weights: { bits: 8 } }\ngates:\n  - size: { max: 1kB }\n`,
    );
    const { exitCode, out, err } = await capture(['run', recipe, '--json']);
    expect([exitCode, err]).toEqual([3, '']);
    expect(JSON.parse(out)).toMatchObject({
      outcome: 'gate-failed',
      gates: [{ gate: 'size max 1000', passed: false }],
    });
  });

  test('--dry-run plans and writes nothing; --reporter json tells events', async () => {
    const folder = freshFolder();
    const base = ['quantize', fixture('tiny-cnn', 'model.onnx'), '-o', 'out', '--bits', '8'];
    const planned = await capture([...base, '--dry-run'], folder);
    expect(planned.exitCode).toBe(0);
    expect(planned.out).toContain('Nothing was written.');
    expect(existsSync(join(folder, 'out'))).toBe(false);
    const told = await capture([...base, '--reporter', 'json'], folder);
    const events = told.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).type);
    expect(events[0]).toBe('run-started');
    expect(events.at(-1)).toBe('run-finished');
    expect((await capture([...base, '--reporter', 'jsn'], folder)).err).toContain("Did you mean 'json'?");
  });

  test('init writes a recipe that runs', async () => {
    const folder = freshFolder();
    const data = `arrays:${fixture('tiny-cnn', 'evaluation.npz')}`;
    const made = await capture(
      ['init', fixture('tiny-cnn', 'model.onnx'), '--calibration', data, '--evaluation', data],
      folder,
    );
    expect([made.exitCode, made.err]).toEqual([0, '']);
    expect((await capture(['plan', join(folder, 'recipe.yaml')])).exitCode).toBe(0);
    const again = await capture(['init', fixture('tiny-cnn', 'model.onnx')], folder);
    expect([again.exitCode, again.err]).toEqual([2, expect.stringContaining('a file of that name already')]);
  });
});
