import { plainReporter } from '../plain.ts';
import type { ReporterCard } from '../reporter.ts';

/**
 * A live picture of the run on a terminal; lines elsewhere. Everything it is drawn with is loaded only when a terminal
 * is there.
 */
export const tuiReporter: ReporterCard['open'] = async (target, options) => {
  if (!target.terminal) return plainReporter(target);
  process.env.NODE_ENV ??= 'production';
  // The drawing library takes a variable that is set but empty for an unattended machine.
  for (const name of ['CI', 'CONTINUOUS_INTEGRATION']) if (process.env[name] === '') delete process.env[name];
  const { openTui } = await import('./open.tsx');
  return openTui(target, target.terminal, options);
};
