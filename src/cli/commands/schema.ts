import type { CommandModule } from '../command.ts';

/** Prints the JSON Schema of recipes, for editors and for other tools. */
export const schemaCommand: CommandModule = {
  configure(command) {
    command.addHelpText(
      'after',
      `
Examples:
  $ compress schema > recipe.schema.json
  and as the first line of a recipe, for completion and checks in an editor:
  # yaml-language-server: $schema=recipe.schema.json`,
    );
  },

  async run() {
    const { recipeJsonSchema } = await import('../../recipe/json-schema.ts');
    const schema = recipeJsonSchema();
    return { data: schema, text: () => JSON.stringify(schema, null, 2) };
  },
};
