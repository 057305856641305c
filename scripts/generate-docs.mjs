// docs/reference: pages made from the program itself (after `npm run build`): commands, recipe keys, stages, formats, data,
// metrics, recipes. Not kept in the repository; `npm run docs` makes them and the site.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { parse } from 'yaml';
import { configureCommand } from '../dist/cli/command.js';
import { commands } from '../dist/cli/commands/index.js';
import { optionTable } from './docs/schema-tables.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const target = join(root, 'docs', 'reference');
const schema = JSON.parse(readFileSync(join(root, 'schemas', 'recipe.schema.json'), 'utf8'));

const write = (path, text) => {
  const file = join(target, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${text.trimEnd()}\n`);
};

/** Entries of a definition that are maps with one key: name, summary, options. */
const entries = (definition) =>
  schema.$defs[definition].anyOf
    .filter((each) => each.type === 'object' && Object.keys(each.properties).length === 1)
    .map((each) => {
      const [name, options] = Object.entries(each.properties)[0];
      return { name, summary: each.description, options };
    });

const topicOf = {
  quantize: ['quantization', 'activations'],
  distill: ['distillation'],
  slice: ['slicing'],
  factorize: ['factorization'],
  share: ['sharing'],
};

const stagePages = () => {
  const pages = new Set(readdirSync(join(root, 'docs')));
  const stages = entries('stage');
  for (const { name, summary, options } of stages) {
    const topics = (topicOf[name] ?? [name]).filter((topic) => pages.has(`${topic}.md`));
    const more = topics.map((topic) => `[${topic}](../../${topic}.md)`).join(', ');
    const users = recipes.filter(({ recipe }) =>
      recipe.stages?.some((stage) => stage === name || stage?.[name] !== undefined),
    );
    write(
      `stages/${name}.md`,
      `# Stage \`${name}\`\n\n${summary}.${more ? ` How it works and what was measured: ${more}.` : ''}\n\n## Options\n\n${optionTable(options)}\n` +
        (users.length > 0
          ? `\n## Recipes that use it\n\n${users.map(({ file, aim }) => `- [${file}](../recipes.md#${file.replace('.yaml', '')}): ${aim}`).join('\n')}\n`
          : ''),
    );
  }
  write(
    'stages/index.md',
    `# Stages\n\n| stage | what it does |\n|---|---|\n${stages.map(({ name, summary }) => `| [${name}](./${name}.md) | ${summary} |`).join('\n')}`,
  );
};

/** The comment that a recipe begins with, as one text. */
const aimOf = (text) =>
  text
    .split('\n')
    .filter((line) => line.startsWith('#') && !line.includes('yaml-language-server'))
    .map((line) => line.replace(/^#\s?/, ''))
    .slice(0, 2)
    .join(' ')
    .trim();

const recipes = readdirSync(join(root, 'recipes'))
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => {
    const text = readFileSync(join(root, 'recipes', file), 'utf8');
    return { file, text, recipe: parse(text), aim: aimOf(text) };
  });

const recipeGallery = () =>
  write(
    'recipes.md',
    `# Recipes\n\nEvery recipe of the folder \`recipes/\`; each is also a test. Run one with \`compress run recipes/NAME.yaml\`.\n\n${recipes
      .map(({ file, text }) => `## ${file.replace('.yaml', '')}\n\n\`\`\`yaml\n${text.trimEnd()}\n\`\`\``)
      .join('\n\n')}`,
  );

const recipePage = () => {
  const { properties, required } = schema;
  write(
    'recipe.md',
    `# The recipe\n\n${schema.description}\n\nThe schema: \`schemas/recipe.schema.json\`, or \`compress schema\`. A first line \`# yaml-language-server: $schema=…\` makes editors complete it.\n\n${optionTable({ properties, required })}\n\n## Data\n\nA dataset is a text \`kind:path,key=value,…\` or a map of the same words.\n\n${schema.$defs.dataset.anyOf
      .filter((each) => each.type === 'object')
      .map(
        (each) =>
          `### ${Object.keys(each.properties).find((key) => key !== 'name')}\n\n${each.description ?? ''}\n\n${optionTable(each)}`,
      )
      .join(
        '\n\n',
      )}\n\n## Gates\n\nA gate names a metric and its bounds.\n\n${optionTable(schema.$defs.bounds)}\n\nMetrics: ${schema.$defs.metric.enum.map((name) => `\`${name}\``).join(', ')}.`,
  );
};

const formatPage = () =>
  write(
    'formats.md',
    `# Formats to write\n\n${entries('format')
      .map(({ name, summary, options }) => `## ${name}\n\n${summary}.\n\n${optionTable(options)}`)
      .join('\n\n')}`,
  );

const commandPage = async () => {
  const sections = [];
  for (const { name, summary, load } of commands) {
    const command = new Command(name).configureHelp({ helpWidth: 100 });
    configureCommand(command, await load());
    command.helpOption('-h, --help', 'show this help');
    let help = '';
    command.configureOutput({ writeOut: (text) => (help += text) });
    command.outputHelp();
    sections.push(
      `## compress ${name}\n\n${summary}\n\n\`\`\`text\n${help.replace(`Usage: ${name}`, `Usage: compress ${name}`).trimEnd()}\n\`\`\``,
    );
  }
  write(
    'commands.md',
    `# Commands\n\nEverything the command line does is a recipe underneath; a flag is a recipe key.\n\n${sections.join('\n\n')}`,
  );
};

rmSync(target, { recursive: true, force: true });
stagePages();
recipeGallery();
recipePage();
formatPage();
await commandPage();
console.error(`wrote ${target}`);
