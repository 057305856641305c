import { existsSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { exitCodes } from '../../errors.ts';
import type { TimedEvent } from '../../recipe/events.ts';
import { findRun, isRunning } from '../../recipe/find-run.ts';
import { EventTail } from '../../report/read-events.ts';
import { RunView } from '../../reporters/view/run-view.ts';
import type { CommandContext, CommandModule } from '../command.ts';
import { openReporters, reporterNames } from '../open-reporters.ts';
import { collect } from '../option-values.ts';

/** The log is looked at this often. */
const pollMs = 200;
/** A log that says nothing for so long may belong to a process that is gone. */
const silenceMs = 2000;

type Finished = Extract<TimedEvent, { type: 'run-finished' }>;

const outcomeCodes = {
  done: exitCodes.done,
  'gate-failed': exitCodes.gate,
  interrupted: exitCodes.interrupted,
  failed: exitCodes.user,
} as const;

const vanished = (last: TimedEvent | undefined): Finished => ({
  type: 'run-finished',
  outcome: 'failed',
  peakMemoryBytes: 0,
  error: 'the process of this run is gone, and it has not said how it ended',
  atMs: last?.atMs ?? 0,
});

/** Hands on the events of a log until the run has ended, its process is gone, or the signal fires. */
const follow = async (
  files: readonly string[],
  tell: (event: TimedEvent) => void,
  { signal, waiting }: { readonly signal: AbortSignal; readonly waiting: () => void },
): Promise<void> => {
  const find = (): string | undefined => files.find((file) => existsSync(file));
  if (!find()) waiting();
  let path = find();
  for (; !path && !signal.aborted; path = find()) await pause(signal);
  if (!path) return;
  const tail = new EventTail(path);
  let last: TimedEvent | undefined;
  let silentMs = 0;
  while (!signal.aborted) {
    const events = tail.next();
    for (const event of events) tell(event);
    last = events.at(-1) ?? last;
    if (last?.type === 'run-finished') return;
    silentMs = events.length > 0 ? 0 : silentMs + pollMs;
    if (silentMs >= silenceMs && !isRunning(path)) {
      tell(vanished(last));
      return;
    }
    await pause(signal);
  }
};

/** Waits a moment, or until the signal fires. */
const pause = async (signal: AbortSignal): Promise<void> => {
  await wait(pollMs, undefined, { signal }).catch(() => undefined);
};

/** A signal that fires with another one, or by hand. */
const leavable = (signal: AbortSignal): { readonly signal: AbortSignal; leave(): void } => {
  const controller = new AbortController();
  return { signal: AbortSignal.any([signal, controller.signal]), leave: () => controller.abort() };
};

const watch = async (
  run: string | undefined,
  reportersWanted: readonly string[],
  context: CommandContext,
): Promise<RunView> => {
  const { eventFiles, description } = findRun(run, context.io.directory);
  const { signal, leave } = leavable(context.signal);
  const reporter = await openReporters(reportersWanted, context, { steered: false, leave });
  const view = new RunView();
  try {
    await follow(
      eventFiles,
      (event) => {
        view.apply(event);
        reporter.listener(event);
      },
      {
        signal,
        waiting: () => {
          if (!context.json && !context.io.screen.taken) context.io.err.write(`waiting for ${description}\n`);
        },
      },
    );
  } finally {
    await reporter.close();
  }
  return view;
};

/** Shows a run of another process, or one that has ended. */
export const watchCommand: CommandModule = {
  configure(command) {
    command
      .argument('[run]', 'an output folder, a recipe or an events.ndjson (default: the last run of this directory)')
      .option(
        '--reporter <name>',
        `how to show the run: ${reporterNames.join(', ')}; NAME=PATH writes to a file (default: tui on a terminal, plain elsewhere)`,
        collect,
      )
      .addHelpText(
        'after',
        `
Attaches to a run that goes on in another process, or shows one that has ended. Leaving (q, Ctrl-C) does not stop the
run. A run that has not begun yet is waited for. The exit code is that of the run.

Examples:
  $ compress watch out/w4
  $ compress watch recipe.yaml --reporter plain
  $ compress watch --json`,
      );
  },

  async run(args, options, context) {
    const view = await watch(args[0], options.texts('reporter'), context);
    const { finished, facts } = view;
    return {
      data: {
        recipe: view.recipe,
        output: view.output,
        version: view.version,
        outcome: finished?.outcome ?? 'running',
        atMs: view.atMs,
        steps: view.steps,
        metrics: { before: facts.before, after: facts.after },
        gates: facts.gates,
        artifacts: facts.artifacts,
        memory: view.memory,
      },
      text: () => '',
      exitCode: finished ? outcomeCodes[finished.outcome] : exitCodes.done,
    };
  },
};
