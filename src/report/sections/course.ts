import { formatBytes } from '../../recipe/quantity.ts';
import { barChart } from '../charts/bars.ts';
import { lineChart } from '../charts/line.ts';
import { html, type Markup } from '../html/markup.ts';
import { formatDuration } from '../numbers.ts';
import type { RunCourse } from '../schema.ts';

type Step = RunCourse['steps'][number];

const title = ({ kind, name }: Step): string => (kind === 'write' ? `write ${name}` : name);

const stepWords = ({ state, startMs, endMs }: Step): string =>
  state === 'cached' ? 'from the cache' : formatDuration(endMs - startMs);

/** When each step began and ended, and the memory held meanwhile. */
export const course = ({ steps, memory, durationMs, maxMemoryBytes }: RunCourse): Markup =>
  html`${barChart({
    title: 'Time of the steps',
    description: steps.map((step) => `${title(step)}: ${stepWords(step)}`).join(', '),
    x: { title: 'time since the beginning', word: formatDuration },
    rows: steps.map((step) => ({
      label: title(step),
      segments: [{ name: title(step), from: step.startMs, to: step.endMs, colour: 0, words: stepWords(step) }],
      end: stepWords(step),
    })),
  })}${
    memory.length > 1 &&
    lineChart({
      title: 'Memory of the process',
      description: `Memory over ${formatDuration(durationMs)}; the recipe allows ${formatBytes(maxMemoryBytes)} for activations and statistics`,
      x: { title: 'time', word: formatDuration },
      y: { title: 'memory', word: formatBytes },
      series: [{ name: 'memory', points: memory.map(({ atMs, bytes }) => [atMs, bytes]), shape: 'area', colour: 0 }],
      limits: [{ name: `max_memory ${formatBytes(maxMemoryBytes)}`, value: maxMemoryBytes }],
      fromZero: true,
    })
  }`;
