// `npm run bench`: speeds of the native kernels and the cost of rounding large models, beside the last accepted figures.
// `npm run bench -- --accept` writes what was measured as the accepted figures. Machines are noisy: compare ratios within
// one run, and repeat before believing a difference.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { kernelBenchmarks } from './kernels.ts';
import { type RoundingCost, roundingCosts } from './rounding-cost.ts';
import { rtnLargeBenchmark } from './rtn-large.ts';
import { startupBenchmark } from './startup.ts';

interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

const acceptedFile = join(import.meta.dirname, 'accepted.json');

const readAccepted = (): Map<string, Figure> => {
  if (!existsSync(acceptedFile)) return new Map();
  const figures = JSON.parse(readFileSync(acceptedFile, 'utf8')) as Figure[];
  return new Map(figures.map((figure) => [figure.name, figure]));
};

/** Two layers and no head to speak of: what rounding costs beside a forward pass grows with layers alone. */
const roundingFigures = async (): Promise<Figure[]> => {
  const costs: RoundingCost[] = [];
  const steps = ['search', 'gptq', 'qronos', 'curvature'];
  await roundingCosts({ layers: 2, windows: 32, bits: 4, vocabulary: 512, steps }, (cost) => costs.push(cost));
  return costs.flatMap(({ name, passes, peakBytes }) =>
    passes === undefined
      ? []
      : [
          { name: `${name} of two Llama layers beside a forward pass: processor time`, value: passes[1], unit: '×' },
          { name: `${name} of two Llama layers: peak memory`, value: peakBytes / 1e6, unit: 'MB' },
        ],
  );
};

const measure = async (): Promise<Figure[]> => {
  const startup = startupBenchmark();
  const kernels = await kernelBenchmarks();
  const rounding = await roundingFigures();
  const large = await rtnLargeBenchmark();
  return [
    { name: 'compress --help beside a Node that does nothing', value: startup.helpMs / startup.nodeMs, unit: '×' },
    ...kernels.map(({ name, value, unit }) => ({ name, value, unit })),
    ...rounding,
    { name: 'rtn 4 bits of a 1.5 GB model: time', value: large.seconds, unit: 's' },
    { name: 'rtn 4 bits of a 1.5 GB model: processor time', value: large.cpuSeconds, unit: 's' },
    { name: 'rtn 4 bits of a 1.5 GB model: peak memory', value: large.peakBytes / 1e6, unit: 'MB' },
    { name: 'rtn 4 bits of a 1.5 GB model: written', value: large.bytesOut / 1e6, unit: 'MB' },
  ];
};

const accepted = readAccepted();
const figures = await measure();
const width = Math.max(...figures.map(({ name }) => name.length));
console.log(`${'benchmark'.padEnd(width)}  ${'measured'.padStart(10)}  ${'accepted'.padStart(10)}   ratio`);
for (const { name, value, unit } of figures) {
  const before = accepted.get(name)?.value;
  const ratio = before === undefined ? '' : (value / before).toFixed(2);
  const known = before === undefined ? '–' : before.toPrecision(4);
  console.log(
    `${name.padEnd(width)}  ${value.toPrecision(4).padStart(10)}  ${known.padStart(10)}  ${ratio.padStart(6)}  ${unit}`,
  );
}
if (process.argv.includes('--accept')) {
  const rounded = figures.map((figure) => ({ ...figure, value: Number(figure.value.toPrecision(4)) }));
  writeFileSync(acceptedFile, `${JSON.stringify(rounded, null, 2)}\n`);
}
