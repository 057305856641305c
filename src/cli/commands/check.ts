import { CompressError, exitCodes } from '../../errors.ts';
import type { CommandModule } from '../command.ts';
import { collect } from '../option-values.ts';

const places = ['auto', 'browser', 'node'] as const;

/** Tries what was written in the runtime of its users. */
export const checkCommand: CommandModule = {
  configure(command) {
    command
      .argument('<output>', 'an output folder, or an .onnx file')
      .option('--target <name>', 'where it will run: web (onnxruntime-web)', 'web')
      .option('--in <place>', `${places.join(', ')}: a browser where there is one, else WebAssembly under Node`, 'auto')
      .option('--browser <path>', 'the browser to start (default: Chromium, Chrome or Edge on the search path)')
      .option('--runtime <dir>', 'folder of an onnxruntime-web package; give it again for several versions', collect)
      .option('--tolerance <share>', 'difference of outputs from the native runtime that counts as agreement', '0.02')
      .option('--seed <n>', 'decides the inputs that are drawn', '0')
      .addHelpText(
        'after',
        `
Every ONNX file of the output is loaded and run with the same inputs in each version of onnxruntime-web, in a headless
browser (playwright-core drives it) or under Node, and compared with onnxruntime. Exit code 3 when one of them does not
run or differs.

Examples:
  $ compress check out/small --target web
  $ compress check out/small --in node --json
  $ compress check out/small --runtime node_modules/onnxruntime-web --runtime old/node_modules/onnxruntime-web`,
      );
  },

  async run(args, options, { io, json, signal }) {
    const { resolve } = await import('node:path');
    const { checkWeb } = await import('../../web-check/check.ts');
    const { browserEnvironment, nodeEnvironment } = await import('../../web-check/environments.ts');
    const { findBrowser, findRuntimes } = await import('../../web-check/runtimes.ts');
    const { seedOf } = await import('../seed.ts');
    const target = options.text('target');
    if (target !== 'web')
      throw new CompressError({
        code: 'usage',
        message: `'${target}' is no target that can be tried`,
        where: { flag: '--target' },
        hint: 'Use web.',
      });
    const place = options.text('in') ?? 'auto';
    if (!places.some((name) => name === place))
      throw new CompressError({
        code: 'usage',
        message: `'${place}' is no place`,
        where: { flag: '--in' },
        hint: `Use ${places.join(', ')}.`,
      });
    const tolerance = Number(options.text('tolerance'));
    if (!(tolerance >= 0))
      throw new CompressError({
        code: 'usage',
        message: `'${options.text('tolerance')}' is no share`,
        where: { flag: '--tolerance' },
        hint: 'Use a number such as 0.02.',
      });
    const runtimes = findRuntimes(
      options.texts('runtime').map((folder) => resolve(io.directory, folder)),
      io.directory,
    );
    const browser = place === 'node' ? undefined : (options.text('browser') ?? findBrowser());
    if (place === 'browser' && browser === undefined)
      throw new CompressError({
        code: 'not-found',
        message: 'there is no Chromium, Chrome or Edge on the search path',
        hint: 'Name one with --browser, or try without one: --in node.',
      });
    if (place === 'auto' && browser === undefined && !json)
      io.err.write('no browser found: trying WebAssembly under Node instead\n');
    const environment = browser ? await browserEnvironment(browser, io.directory) : nodeEnvironment(signal);
    try {
      const rows = await checkWeb(resolve(io.directory, args[0] ?? ''), {
        runtimes,
        environment,
        tolerance,
        seed: seedOf(options),
        signal,
        onRow: (row) => {
          if (!json && io.err.live) io.err.write(`${row.variant}: ${row.status}\n`);
        },
      });
      const passed = rows.every(({ status }) => status === 'ok');
      const { showRows } = await import('../../web-check/show.ts');
      return {
        data: { ok: passed, target, environment: environment.name, rows },
        exitCode: passed ? exitCodes.done : exitCodes.gate,
        text: (style) => showRows(rows, style),
      };
    } finally {
      await environment.close();
    }
  },
};
