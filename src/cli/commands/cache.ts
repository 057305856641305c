import { CompressError } from '../../errors.ts';
import type { CommandModule } from '../command.ts';

const actions = ['info', 'clear', 'prune'] as const;

/** Shows, empties or trims the store of finished stages. */
export const cacheCommand: CommandModule = {
  configure(command) {
    command
      .argument('[action]', `${actions.join(', ')}`, 'info')
      .option('--directory <dir>', 'the cache; by default $COMPRESS_CACHE or .compress/cache here')
      .option('--max-size <size>', 'prune: keep the entries used last, up to this size', '1GiB')
      .addHelpText(
        'after',
        `
The cache keeps finished stages and measurements, named by what they were made from, so that a repeated or killed
run goes on where it was. Emptying it costs time, never results.

Examples:
  $ compress cache
  $ compress cache prune --max-size 500MB
  $ compress cache clear --directory recipes/.compress/cache`,
      );
  },

  async run(args, options, { io }) {
    const { Cache, cacheDirectory } = await import('../../recipe/cache.ts');
    const { formatBytes, parseBytes } = await import('../../recipe/quantity.ts');
    const { resolve } = await import('node:path');
    const given = options.text('directory');
    const cache = new Cache(given === undefined ? cacheDirectory(io.directory) : resolve(io.directory, given));
    const action = actions.find((name) => name === (args[0] ?? 'info'));
    if (!action)
      throw new CompressError({
        code: 'usage',
        message: `a cache cannot be told to '${args[0]}'`,
        hint: `Use ${actions.join(', ')}.`,
      });
    if (action === 'info') {
      const kinds = cache.describe();
      return {
        data: { directory: cache.directory, ...kinds },
        text: () =>
          [
            `cache ${cache.directory}`,
            ...Object.entries(kinds).map(
              ([kind, { entries, bytes }]) =>
                `  ${kind.padEnd(12)} ${String(entries).padStart(6)} entries  ${formatBytes(bytes)}`,
            ),
          ].join('\n'),
      };
    }
    const written = options.text('maxSize') ?? '';
    const maxBytes = parseBytes(written);
    if (maxBytes === undefined)
      throw new CompressError({
        code: 'usage',
        message: `expected a size like 500MB, found ${JSON.stringify(written)}`,
        where: { flag: '--max-size' },
      });
    const freedBytes = action === 'clear' ? cache.clear() : cache.prune({ maxBytes });
    return {
      data: { directory: cache.directory, freedBytes },
      text: () => `freed ${formatBytes(freedBytes)} in ${cache.directory}`,
    };
  },
};
