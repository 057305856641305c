import { formatBytes } from '../../recipe/quantity.ts';
import { formatDuration, formatNumber } from '../../report/numbers.ts';
import type { Step, StepState } from '../../report/steps.ts';
import { printable, type Style } from '../style.ts';
import type { RunView } from '../view/run-view.ts';
import type { Task } from '../view/tasks.ts';
import type { FrameOptions } from './frame.ts';

const symbols: Readonly<Record<StepState, string>> = {
  waiting: '○',
  running: '●',
  done: '✔',
  cached: '✔',
  failed: '✖',
};

const stateStyle = (state: StepState, style: Style): ((text: string) => string) => {
  if (state === 'waiting') return style.dim;
  if (state === 'failed') return style.bad;
  return state === 'running' ? style.bold : style.good;
};

const stepTime = (step: Step, nowMs: number): string => {
  if (step.state === 'cached') return 'from the cache';
  if (step.startedMs === undefined) return '';
  return formatDuration((step.endedMs ?? nowMs) - step.startedMs);
};

const title = (step: Step): string => (step.kind === 'write' ? `write ${step.name}` : step.name);

/** The steps of a run, one line each; where there are more than fit, those around the present one. */
export const stepLines = (view: RunView, { style, nowMs }: FrameOptions, room: number): string[] => {
  const width = Math.max(...view.steps.map((step) => title(step).length), 0);
  const lines = view.steps.map((step) => {
    const facts = [stepTime(step, nowMs), view.resultOf(step)].filter(Boolean).join('  ');
    const mark = stateStyle(step.state, style)(`${symbols[step.state]} ${title(step)}`);
    return `  ${mark}${' '.repeat(width - title(step).length)}  ${style.dim(facts)}`.trimEnd();
  });
  if (lines.length <= room) return lines;
  const current = view.steps.findIndex((step) => step.state === 'running');
  const start = Math.min(Math.max(0, current - Math.floor(room / 2)), lines.length - room);
  return lines.slice(start, start + room);
};

/** `━━━━━────` */
export const bar = (share: number, width: number): { readonly full: string; readonly rest: string } => {
  const full = Math.round(Math.min(1, Math.max(0, share)) * width);
  return { full: '━'.repeat(full), rest: '─'.repeat(width - full) };
};

const amount = (value: number, unit: string): string =>
  unit === 'bytes' ? formatBytes(value) : formatNumber(value, 3);

/** `18/35 weights`, `1.2 MB of 3.4 MB`. */
const amounts = ({ done, total, unit }: Task): string =>
  unit === 'bytes' ? `${formatBytes(done)} of ${formatBytes(total)}` : `${done}/${total} ${unit}`;

const taskLine = (task: Task, { style, columns, nowMs }: FrameOptions): string => {
  const width = Math.max(8, Math.min(30, Math.floor(columns / 4)));
  const { full, rest } = bar(task.total > 0 ? task.done / task.total : 1, width);
  const rate = task.perSecond;
  const left = task.remainingMs === undefined ? undefined : task.remainingMs - (nowMs - task.updatedMs);
  const parts = [
    `${style.good(full)}${style.dim(rest)}`,
    amounts(task),
    rate === undefined ? '' : `${amount(rate, task.unit)}${task.unit === 'bytes' ? '' : ` ${task.unit}`}/s`,
    left === undefined ? '' : style.bold(`${formatDuration(left)} left`),
    printable(task.part ? task.name : [task.name, task.item].filter(Boolean).join('  ')),
  ];
  return `    ${parts.filter(Boolean).join('  ')}`;
};

/** What goes on inside the present step. */
export const progressLines = (view: RunView, options: FrameOptions): string[] =>
  view.tasks.current(options.nowMs).map((task) => taskLine(task, options));
