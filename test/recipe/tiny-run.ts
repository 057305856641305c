import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { afterAll } from 'vitest';

const made = join(import.meta.dirname, '../../fixtures/made');

/** A path in the project's own fixtures. @throws when they are not made yet. */
export const fixture = (...path: string[]): string => {
  const found = join(made, ...path);
  if (!existsSync(found)) throw new Error(`${found} is missing: run \`npm run fixtures\` first`);
  return found;
};

const folders: string[] = [];

afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** An empty folder that is removed when the test file has ended. */
export const freshFolder = (): string => {
  const folder = mkdtempSync(join(tmpdir(), 'compress-test-'));
  folders.push(folder);
  return folder;
};

/** Writes a recipe file into a folder and gives its path. */
export const writeRecipe = (directory: string, text: string, name = 'recipe.yaml'): string => {
  const path = join(directory, name);
  writeFileSync(path, text.trimStart());
  return path;
};

/** A recipe that quantizes the small language fixture block by block: a second or two of work. */
export const languageRecipe = (output = 'out'): string => `
model: ${fixture('tiny-llama')}
output: ${output}
seed: 1
data:
  calibration: { text: ${fixture('tiny-llama', 'calibration.txt')}, window: 64, samples: 16 }
  evaluation: { name: held-out, text: ${fixture('tiny-llama', 'evaluation.txt')}, window: 64, samples: 8 }
stages:
  - quantize: { method: gptq, weights: { bits: 4, group_size: 32 } }
write: [onnx-matmulnbits, onnx-qdq]
gates:
  - size: { ratio: 0.5 }
`;

/** Bytes of every file below a folder, by name, without the log of events and the page made from it, which hold times. */
export const contentsOf = (directory: string): Map<string, string> =>
  new Map(
    readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .sort()
      .filter((name) => statSync(join(directory, name)).isFile() && !['events.ndjson', 'report.html'].includes(name))
      .map((name) => [
        relative(directory, join(directory, name)),
        readFileSync(join(directory, name)).toString('base64'),
      ]),
  );
