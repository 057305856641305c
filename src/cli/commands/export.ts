import type { CommandModule } from '../command.ts';
import { addRecipeFlags, commonFlags, outputFlags, recipeFromFlags } from '../recipe-flags.ts';
import { addRunFlags, runAndReport } from '../run-recipe.ts';

const flags = [...outputFlags, ...commonFlags];

/** A recipe without stages: opens a model and writes it in other formats; integers stay as they are. */
export const exportCommand: CommandModule = {
  configure(command) {
    command.argument(
      '<checkpoint>',
      'a Hugging Face folder (config.json and safetensors; plain, GPTQ, AWQ, compressed-tensors, fp8), or any model',
    );
    addRecipeFlags(command, flags);
    addRunFlags(command);
    command.addHelpText(
      'after',
      `
Examples:
  $ compress export checkpoint --output out/onnx
  $ compress export checkpoint --output out/web --to transformersjs
  $ compress export gptq-folder --output out/onnx --to onnx-matmulnbits --target ort-web@1.22
  $ compress export out/onnx --output out/vllm --to compressed-tensors
  $ compress export checkpoint --output out/onnx --evaluation text:corpus.txt,window=512`,
    );
  },

  async run(args, options, context) {
    const recipe = await recipeFromFlags({ model: { path: args[0] } }, flags, options, context.io.directory);
    return runAndReport(recipe, options, context);
  },
};
