import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { CompressError } from '../errors.ts';
import { Pause } from '../pause.ts';
import { nearest } from '../recipe/known-keys.ts';
import { orExplain } from '../recipe/store.ts';
import { reporters } from '../reporters/index.ts';
import type { Reporter, ReporterCard, ReporterOptions, ReporterTarget, RunControl } from '../reporters/reporter.ts';
import { plainStyle } from '../reporters/style.ts';
import type { CommandContext } from './command.ts';

export const reporterNames = reporters.map((card) => card.name);

const flag = '--reporter';

interface Choice {
  readonly card: ReporterCard;
  /** Absolute; undefined where it writes to the terminal. */
  readonly path: string | undefined;
}

/** `plain`, `junit=results.xml`. @throws usage error for a name that there is not. */
const readChoice = (text: string, directory: string): Choice => {
  const [, name = text, path] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
  const card = reporters.find((candidate) => candidate.name === name);
  if (card && path !== '') return { card, path: path === undefined ? undefined : resolve(directory, path) };
  const near = nearest(name, reporterNames);
  throw new CompressError({
    code: 'usage',
    message: card ? `the reporter '${name}' has an empty path` : `there is no reporter '${name}'`,
    where: { flag },
    hint:
      near && !card ? `Did you mean '${near}'?` : `Reporters: ${reporterNames.join(', ')}; NAME=PATH writes to a file.`,
  });
};

/** What shows a run where nothing is asked for. */
const usualNames = (context: CommandContext): string[] => {
  if (context.json) return [context.io.err.live ? 'plain' : 'none'];
  return [context.io.out.terminal ? 'tui' : 'plain', ...(process.env.GITHUB_ACTIONS === 'true' ? ['github'] : [])];
};

const silence: ReporterTarget = { write: () => {}, live: false, columns: 80, style: plainStyle };

/** A file that is begun anew and grows as the reporter writes. */
const fileTarget = (path: string): ReporterTarget => {
  orExplain(path, () => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, '');
  });
  return { ...silence, columns: 120, write: (text) => orExplain(path, () => appendFileSync(path, text)) };
};

/** Under --json standard output is kept for the document: what goes on is told on the other stream, on a terminal only. */
const screenOf = ({ io, json }: CommandContext): ReporterTarget => {
  if (!json) return io.out;
  return io.err.live ? io.err : silence;
};

/** What keys of a live picture ask of a run. */
const controlOf = (signal: AbortSignal): RunControl => ({
  pause: () => Pause.of(signal).pause(),
  resume: () => Pause.of(signal).resume(),
  stop: () => {
    process.emit('SIGINT', 'SIGINT');
  },
});

/**
 * Opens the reporters that --reporter names, or the usual ones: a live picture on a terminal, lines elsewhere, and
 * annotations inside a GitHub workflow.
 * @throws usage error for unknown names, and where several would write to the terminal.
 */
export const openReporters = async (
  wanted: readonly string[],
  context: CommandContext,
  options: Pick<ReporterOptions, 'leave'> & { readonly steered: boolean },
): Promise<Reporter> => {
  const { io, signal } = context;
  const names = wanted.length > 0 ? wanted : usualNames(context).filter((name) => name !== 'none');
  const choices = names.map((name) => readChoice(name, io.directory));
  const onScreen = choices.filter(({ card, path }) => path === undefined && card.screen);
  if (onScreen.length > 1)
    throw new CompressError({
      code: 'usage',
      message: `the reporters ${onScreen.map(({ card }) => card.name).join(' and ')} would both write to the terminal`,
      where: { flag },
      hint: 'Send all but one to a file: NAME=PATH.',
    });
  const { steered, ...rest } = options;
  const given: ReporterOptions = {
    ...rest,
    ...(steered ? { control: controlOf(signal) } : {}),
    annotate: (line) => (context.json ? io.err : io.out).write(line),
  };
  const open: Reporter[] = [];
  for (const { card, path } of choices) {
    const target = path === undefined ? screenOf(context) : fileTarget(path);
    if (card.screen && target.terminal) io.screen.taken = true;
    open.push(await card.open(target, { ...given, ...(path === undefined ? {} : { path }) }));
  }
  return {
    listener: (event) => {
      for (const reporter of open) reporter.listener(event);
    },
    failed: (error) => {
      for (const reporter of open) reporter.failed?.(error);
    },
    close: async () => {
      for (const reporter of open) await reporter.close();
      io.screen.taken = false;
    },
  };
};
