import type { CommandModule } from '../command.ts';

/** Checks that this machine can do the work. */
export const doctorCommand: CommandModule = {
  configure(command) {
    command.addHelpText(
      'after',
      `
Exit code 2 when something that is needed is missing.

Examples:
  $ compress doctor
  $ compress doctor --json`,
    );
  },

  async run(_args, _options, { io }) {
    const { examine } = await import('../checkup.ts');
    const checks = await examine(io.directory);
    const healthy = checks.every((check) => check.state !== 'broken');
    return {
      data: { ok: healthy, checks },
      exitCode: healthy ? 0 : 2,
      text: (style) => {
        const marks = { ok: style.good('ok'), note: style.warn('note'), broken: style.bad('broken') };
        return checks
          .flatMap((check) => [
            `${marks[check.state]}  ${check.name}: ${check.found}`,
            ...(check.advice === undefined ? [] : [`    ${check.advice}`]),
          ])
          .join('\n');
      },
    };
  },
};
