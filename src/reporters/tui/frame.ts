import type { Style } from '../style.ts';
import type { RunView } from '../view/run-view.ts';
import { headerLine, helpLines, keyLine, logLines, memoryLine, seriesLines, siteLines } from './panes.ts';
import { progressLines, stepLines } from './progress.ts';

/** What decides how a run is drawn beside the run itself. */
export interface FrameOptions {
  readonly columns: number;
  readonly rows: number;
  /** Time of the run at which it is drawn, in milliseconds since it began. */
  readonly nowMs: number;
  readonly style: Style;
  readonly details: boolean;
  readonly help: boolean;
  /** The user has asked to stop. */
  readonly stopping: boolean;
  /** The run can be paused and stopped from here; otherwise it is only looked at. */
  readonly steered: boolean;
  /** Lines of the log that lie below the window that is shown. */
  readonly scrolled: number;
}

/** The log takes at most so many lines, whatever the height. */
const mostLogLines = 12;

/** Fewest rows that leave room for a line between the parts. */
const roomyRows = 16;

/**
 * The lines of a run as it now is, at most one fewer than the terminal has rows, so that the cursor stays below them.
 * Lines may be wider than the terminal: whoever shows them cuts them.
 */
export const composeFrame = (view: RunView, options: FrameOptions): string[] => {
  const room = Math.max(3, options.rows - 1);
  if (view.finished) return [headerLine(view, options), ...stepLines(view, options, view.steps.length)].slice(0, room);
  const roomy = options.rows >= roomyRows;
  const gap = roomy ? [''] : [];
  const head = [headerLine(view, options), ...gap];
  const foot = [...gap, keyLine(view, options)];
  let left = room - head.length - foot.length;
  const take = (lines: readonly string[]): readonly string[] => {
    const taken = lines.slice(0, Math.max(0, left));
    left -= taken.length;
    return taken;
  };
  if (options.help) return [...head, ...take(helpLines(options)), ...foot].slice(0, room);
  const progress = [...progressLines(view, options), ...seriesLines(view, options)];
  const steps = take(stepLines(view, options, Math.max(1, left - progress.length - 1)));
  const work = take(progress);
  const memory = take([memoryLine(view, options)]);
  const details = options.details ? take(['', ...siteLines(view, options, left - 1)]) : [];
  const log = left >= 3 ? take(['', ...logLines(view, options, Math.min(mostLogLines, left - 1))]) : [];
  return [...head, ...steps, ...work, ...memory, ...details, ...log, ...foot].slice(0, room);
};
