import { CompressError } from '../../errors.ts';
import { nearest } from '../../recipe/known-keys.ts';
import type { CommandModule } from '../command.ts';

type JsonSchema = Readonly<Record<string, unknown>>;

/** Every published schema, by the file that it is for. */
const schemas: Readonly<Record<string, () => Promise<JsonSchema>>> = {
  recipe: async () => (await import('../../recipe/json-schema.ts')).recipeJsonSchema(),
  manifest: async () => (await import('../../artifact/manifest-schema.ts')).manifestJsonSchema(),
  report: async () => (await import('../../report/schema.ts')).reportJsonSchema(),
};

/** Prints the JSON Schema of recipes, manifests or reports, for editors and for other tools. */
export const schemaCommand: CommandModule = {
  configure(command) {
    command.argument('[name]', Object.keys(schemas).join(', '), 'recipe').addHelpText(
      'after',
      `
Examples:
  $ compress schema > recipe.schema.json
  $ compress schema report > report.schema.json
  and as the first line of a recipe, for completion and checks in an editor:
  # yaml-language-server: $schema=recipe.schema.json`,
    );
  },

  async run(args) {
    const names = Object.keys(schemas);
    const name = args[0] ?? 'recipe';
    const open = schemas[name];
    if (!open) {
      const near = nearest(name, names);
      throw new CompressError({
        code: 'usage',
        message: `there is no schema '${name}'`,
        hint: near ? `Did you mean '${near}'?` : `Schemas: ${names.join(', ')}.`,
      });
    }
    const schema = await open();
    return { data: schema, text: () => JSON.stringify(schema, null, 2) };
  },
};
