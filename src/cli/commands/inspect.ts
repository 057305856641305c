import { resolve } from 'node:path';
import type { CommandModule } from '../command.ts';

/** Describes a model or an output folder. */
export const inspectCommand: CommandModule = {
  configure(command) {
    command
      .argument('<path>', 'an .onnx file, a checkpoint folder, a safetensors file or an output folder')
      .option('--groups', 'what can be removed together (see compress slice), and why the rest cannot')
      .option('--verify', 'check every file of an output against its manifest (exit code 2 when one differs)')
      .addHelpText(
        'after',
        `
Reads headers and configuration, no weight: large models are described at once.

Examples:
  $ compress inspect model.onnx
  $ compress inspect out/w4 --verify
  $ compress inspect model.onnx --groups
  $ compress inspect checkpoint --json`,
      );
  },

  async run(args, options, { io }) {
    if (options.flag('groups')) return (await import('../show-groups.ts')).showGroups(args[0] ?? '', io.directory);
    const { describePath } = await import('../description.ts');
    const { descriptionText } = await import('../show-description.ts');
    const found = await describePath(resolve(io.directory, args[0] ?? ''), { verify: options.flag('verify') });
    return {
      data: found,
      text: (style) => descriptionText(found, args[0] ?? '', style),
      exitCode: found.verification?.ok === false ? 2 : 0,
    };
  },
};
