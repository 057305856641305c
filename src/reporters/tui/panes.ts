import { formatBytes } from '../../recipe/quantity.ts';
import { formatDuration, formatNumber } from '../../report/numbers.ts';
import { siteError } from '../../report/site-error.ts';
import { printable, type Style } from '../style.ts';
import { shownPath } from '../summary.ts';
import { formatTable } from '../table.ts';
import type { LogLine, RunView } from '../view/run-view.ts';
import { sparkline } from '../view/sparkline.ts';
import type { FrameOptions } from './frame.ts';
import { bar } from './progress.ts';

/** Which run this is, since when, and whether it goes on. */
export const headerLine = (view: RunView, { style, nowMs, stopping }: FrameOptions): string => {
  const state = view.finished
    ? ''
    : stopping
      ? style.warn('stopping (q again quits at once)')
      : view.paused
        ? style.warn('paused')
        : '';
  const time = formatDuration(view.finished ? view.atMs : nowMs);
  return [
    `${style.bold('compress')} ${view.version}`,
    style.bold(time),
    state,
    printable(`${view.recipe} → ${shownPath(view.output)}`),
  ]
    .filter(Boolean)
    .join('  ');
};

/** Memory of the process, beside what the recipe allows for activations and statistics. */
export const memoryLine = (view: RunView, { style }: FrameOptions): string => {
  const { now, peak, limit } = view.memory;
  if (now === 0) return '';
  const { full, rest } = bar(limit > 0 ? now / limit : 0, 12);
  const fill = now > limit ? style.warn(full) : style.good(full);
  const words = `memory ${formatBytes(now)}, at most ${formatBytes(peak)}; ${formatBytes(limit)} allowed for activations`;
  return `    ${fill}${style.dim(rest)}  ${style.dim(words)}`;
};

const lineStyle = ({ kind }: LogLine, style: Style): ((text: string) => string) =>
  kind === 'bad' ? style.bad : kind === 'warning' ? style.warn : style.dim;

/** The newest lines of the log that fit, below a rule. */
export const logLines = (view: RunView, { style, columns, scrolled }: FrameOptions, room: number): string[] => {
  if (view.log.length === 0 || room < 2) return [];
  const end = Math.max(Math.min(view.log.length, room - 1), view.log.length - scrolled);
  const hidden = view.log.length - end;
  const title = hidden > 0 ? `log, ${hidden} newer below` : 'log';
  const rule = `── ${title} ${'─'.repeat(Math.max(0, Math.min(columns, 78) - title.length - 5))}`;
  return [
    style.dim(rule),
    ...view.log.slice(Math.max(0, end - (room - 1)), end).map((line) => lineStyle(line, style)(`  ${line.text}`)),
  ];
};

const trainingLines = (view: RunView, { style }: FrameOptions): string[] => {
  const { training, judged } = view;
  if (!training) return [];
  const parts = Object.entries(training.parts).map(([name, value]) => `${printable(name)} ${formatNumber(value, 4)}`);
  const best = Math.min(...judged.map(({ value }) => value));
  return [
    `    step ${training.step} of ${training.steps}  loss ${style.bold(formatNumber(training.loss, 4))}${parts.length > 1 ? ` (${parts.join(', ')})` : ''}`,
    style.dim(
      `    learning rate ${formatNumber(training.learningRate, 3)}, gradient ${formatNumber(training.gradientNorm, 3)}${judged.length > 0 ? `, held out ${formatNumber(judged.at(-1)?.value ?? Number.NaN, 4)}, best ${formatNumber(best, 4)}` : ''}`,
    ),
  ];
};

/** The sites that were finished last, as many as fit. */
export const siteLines = (view: RunView, { style }: FrameOptions, room: number): string[] => {
  const shown = view.sites.slice(-Math.max(0, room - 2));
  if (shown.length === 0) return [];
  const rows = shown.map(({ site, facts }) => {
    const error = siteError(facts);
    const rest = ['scheme', 'method', 'form'].flatMap((name) => (facts[name] === undefined ? [] : [`${facts[name]}`]));
    return [printable(site), printable(rest.join(' ')), error ? formatNumber(error.value, 3) : ''];
  });
  const name = view.series.name === 'loss' ? 'error' : view.series.name || 'error';
  return formatTable([{ title: '    site' }, { title: 'what' }, { title: name, align: 'right' }], rows, style).split(
    '\n',
  );
};

/** Losses or errors so far as a line, and the numbers of training. */
export const seriesLines = (view: RunView, options: FrameOptions): string[] => {
  const { series } = view;
  const last = series.values.at(-1);
  if (last === undefined) return [];
  const line = sparkline(series.values, Math.max(10, Math.min(60, options.columns - 32)));
  return [`    ${series.name} ${line} ${formatNumber(last, 3)}`, ...trainingLines(view, options)];
};

/** The keys that do something now. */
export const keyLine = (view: RunView, { style, steered }: FrameOptions): string => {
  const keys = steered ? [view.paused ? ['r', 'resume'] : ['p', 'pause'], ['q', 'stop']] : [['q', 'leave']];
  return [...keys, ['d', 'details'], ['?', 'help']]
    .map(([key = '', meaning = '']) => `${style.bold(key)} ${style.dim(meaning)}`)
    .join('   ');
};

const steeringHelp = [
  ['p', 'pause once the step under way is done'],
  ['r', 'go on'],
  ['q', 'stop and keep what is finished; once more to quit at once'],
] as const;

/** What every key does. */
export const helpLines = ({ style, steered }: FrameOptions): string[] =>
  [
    ...(steered ? steeringHelp : ([['q', 'leave; the run goes on']] as const)),
    ['d', 'show or hide the sites finished last'],
    ['↑ ↓', 'scroll the log'],
    ['?', 'show or hide this help'],
  ].map(([key = '', meaning = '']) => `  ${style.bold(key.padEnd(4))} ${meaning}`);
