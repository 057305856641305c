import { render } from 'ink';
import type { TimedEvent } from '../../recipe/events.ts';
import type { Reporter, ReporterOptions, ReporterTarget, Terminal } from '../reporter.ts';
import { formatOutcome, formatSummary } from '../summary.ts';
import { App } from './app.tsx';
import { LiveRun } from './live-run.ts';
import { Pacer } from './pacer.ts';

/** Events that change the whole picture, few in a run: they are drawn at once. */
const turns = new Set<TimedEvent['type']>(['stage-started', 'stage-cached', 'stage-finished', 'paused', 'resumed']);

/** A reporter that knows what drawing has cost. */
export interface TuiReporter extends Reporter {
  readonly drawingMs: number;
}

/** Draws a run on a terminal until it ends, and leaves its steps, warnings and summary there. */
export const openTui = (target: ReporterTarget, terminal: Terminal, options: ReporterOptions): TuiReporter => {
  const run = new LiveRun();
  const { control, leave = () => {} } = options;
  const picture = () => <App view={run.view} nowMs={run.nowMs} style={target.style} control={control} leave={leave} />;
  let instance: ReturnType<typeof render> | undefined;
  const pacer = new Pacer(() => {
    if (instance) instance.rerender(picture());
    else instance = render(picture(), { ...terminal, exitOnCtrlC: false, patchConsole: false });
  });
  let open = true;
  const close = (): void => {
    if (!open) return;
    open = false;
    if (instance) pacer.now();
    pacer.stop();
    instance?.unmount();
  };
  return {
    listener: (event: TimedEvent) => {
      run.apply(event);
      if (turns.has(event.type)) pacer.now();
      else pacer.request();
      if (event.type !== 'run-finished') return;
      close();
      const { style } = target;
      const warnings = run.view.log.filter(({ kind }) => kind === 'warning').map(({ text }) => style.warn(`! ${text}`));
      const complete = event.outcome === 'done' || event.outcome === 'gate-failed';
      const summary = complete ? formatSummary(run.view.facts, style) : '';
      target.write(`${[warnings.join('\n'), summary, formatOutcome(event, style)].filter(Boolean).join('\n\n')}\n`);
    },
    close,
    get drawingMs() {
      return pacer.spentMs;
    },
  };
};
