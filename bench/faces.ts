import { readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readOnnx } from '../src/artifact/formats/onnx/read.ts';
import { encodeProgram } from '../src/artifact/formats/onnx/write.ts';
import { type Dataset, takeSamples } from '../src/calibration/dataset.ts';
import { openDataset } from '../src/calibration/samples/table.ts';
import { bindingOf, runSample } from '../src/execution/feeds.ts';
import { onnxruntimeEngine } from '../src/execution/onnxruntime.ts';
import { type Session, withSession } from '../src/execution/session.ts';
import { inputSignature } from '../src/execution/signature.ts';
import { runStage } from './measured.ts';

/**
 * Boxes of the face detector in 8-bit forms against those of the original: F1 at an overlap of one half, of all boxes
 * with a score above 0.7 and of those left after suppression. The first eight photos measure, the others calibrate.
 *
 *   npx tsx bench/faces.ts [--data ../shared/data] [--setting mse]
 */
const { values: given } = parseArgs({
  options: { data: { type: 'string', default: '../shared/data' }, setting: { type: 'string', default: '' } },
});
const folder = join(resolve(given.data), 'detect-ultraface');

interface Box {
  readonly score: number;
  /** Left, top, right, bottom. */
  readonly corners: readonly number[];
}

const area = ([left = 0, top = 0, right = 0, bottom = 0]: readonly number[]): number =>
  Math.max(0, right - left) * Math.max(0, bottom - top);

/** Intersection over union. */
const overlap = (a: Box, b: Box): number => {
  const both = area([0, 1, 2, 3].map((at) => Math[at < 2 ? 'max' : 'min'](a.corners[at]!, b.corners[at]!)));
  return both / (area(a.corners) + area(b.corners) - both);
};

/** Boxes above the score, best first. */
const readBoxes = async (session: Session, photos: Dataset, index: number): Promise<Box[]> => {
  for await (const { outputs } of runSample(session, await photos.sample(index), photoBinding, `photo ${index}`)) {
    const scores = outputs.get('scores')!.data as Float32Array;
    const corners = outputs.get('boxes')!.data as Float32Array;
    return Array.from({ length: scores.length / 2 }, (_, box) => ({
      score: scores[2 * box + 1]!,
      corners: [...corners.subarray(4 * box, 4 * box + 4)],
    }))
      .filter(({ score }) => score > 0.7)
      .sort((a, b) => b.score - a.score);
  }
  return [];
};

/** Boxes that overlap no better one by more than 0.3. */
const suppress = (boxes: readonly Box[]): Box[] => {
  const kept: Box[] = [];
  for (const box of boxes) if (!kept.some((other) => overlap(box, other) > 0.3)) kept.push(box);
  return kept;
};

/** How many boxes of one list have a partner of their own in the other. */
const matches = (wanted: readonly Box[], found: readonly Box[]): number => {
  const free = new Set(found);
  let count = 0;
  for (const box of wanted) {
    const best = [...free].reduce<Box | undefined>(
      (partner, other) => (overlap(box, other) > (partner ? overlap(box, partner) : 0.5) ? other : partner),
      undefined,
    );
    if (!best) continue;
    free.delete(best);
    count++;
  }
  return count;
};

const settings = [
  { name: 'fp32', options: undefined },
  { name: 'int8 static minmax', options: { activations: { ranges: 'minmax' } } },
  { name: 'int8 static percentile 99.999', options: { activations: { ranges: 'percentile' } } },
  { name: 'int8 static entropy', options: { activations: { ranges: 'entropy' } } },
  { name: 'int8 static mse', options: { activations: { ranges: 'mse' } } },
  { name: 'int8 static mse equalized', options: { activations: { ranges: 'mse', equalize: true } } },
  { name: 'int8 static mse corrected', options: { activations: { ranges: 'mse', bias_correction: true } } },
  { name: 'int8 static minmax per tensor', options: { activations: { per_channel: false } } },
  { name: 'int8 static minmax per tensor equalized', options: { activations: { per_channel: false, equalize: true } } },
  { name: 'int8 static minmax quantized head', options: { activations: { ranges: 'minmax', head: 'quantized' } } },
  { name: 'int8 dynamic', options: { activations: 'dynamic' } },
  { name: 'float16', options: { precision: 'float16' } },
] as const;

const program = readOnnx(join(folder, 'version-RFB-320.onnx'));
const photoBinding = bindingOf(program);
const preprocessing = { resize: [240, 320], mean: [127, 127, 127], std: [128, 128, 128] };
const photos = await openDataset(
  { images: join(folder, 'images'), preprocessing },
  { baseDirectory: '.', seed: 0, modelInputs: inputSignature(program) },
);
const measured = takeSamples(photos, 8);
const calibration: Dataset = {
  ...photos,
  length: photos.length - measured.length,
  sample: (index) => photos.sample(measured.length + index),
};

console.log(`${readdirSync(join(folder, 'images')).length} photos, ${calibration.length} for calibration`);
console.log('setting                              boxes    box F1   after suppression       bytes');
for (const { name, options } of settings) {
  if (!name.includes(given.setting)) continue;
  const changed = options ? (await runStage(program, options, calibration)).program : program;
  await withSession(onnxruntimeEngine, program, {}, (before) =>
    withSession(onnxruntimeEngine, changed, {}, async (after) => {
      const sums = { matched: 0, boxes: 0, found: 0, matchedKept: 0, kept: 0 };
      for (let index = 0; index < measured.length; index++) {
        const [wanted, found] = [await readBoxes(before, measured, index), await readBoxes(after, measured, index)];
        const [wantedKept, foundKept] = [suppress(wanted), suppress(found)];
        sums.matched += matches(wanted, found);
        sums.boxes += wanted.length + found.length;
        sums.found += found.length;
        sums.matchedKept += matches(wantedKept, foundKept);
        sums.kept += wantedKept.length + foundKept.length;
      }
      const share = (matched: number, all: number): string => ((200 * matched) / all).toFixed(2);
      const bytes = encodeProgram(changed).byteLength;
      console.log(
        `${name.padEnd(34)}${String(sums.found).padStart(8)}${share(sums.matched, sums.boxes).padStart(10)}${share(sums.matchedKept, sums.kept).padStart(20)}${String(bytes).padStart(12)}`,
      );
    }),
  );
}
