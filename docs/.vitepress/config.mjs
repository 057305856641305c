import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** The first heading of a page. */
const titleOf = (path) => /^# (.*)$/m.exec(readFileSync(path, 'utf8'))?.[1].replaceAll('`', '') ?? path;

const page = (link) => ({ text: titleOf(join(root, `${link}.md`)), link: `/${link}` });

const present = (links) => links.filter((link) => existsSync(join(root, `${link}.md`))).map(page);

const stages = join(root, 'reference', 'stages');
const stagePages = existsSync(stages)
  ? readdirSync(stages)
      .filter((file) => file.endsWith('.md') && file !== 'index.md')
      .map((file) => page(`reference/stages/${file.replace('.md', '')}`))
  : [];

const first = ['tutorial', 'recipes-by-aim', 'live-view', 'reports', 'troubleshooting', 'ci'];
const last = ['architecture', 'figures', 'adding-a-method'];
const own = new Set([...first, ...last, 'index']);
const methods = readdirSync(root)
  .filter((file) => file.endsWith('.md') && !own.has(file.replace('.md', '')))
  .map((file) => file.replace('.md', ''));

export default {
  title: 'modelpress',
  description: 'Makes trained models small, without Python.',
  cleanUrls: true,
  srcExclude: ['node_modules/**'],
  themeConfig: {
    search: { provider: 'local' },
    sidebar: [
      { text: 'Using it', items: present(first) },
      { text: 'Stages', items: stagePages },
      { text: 'Methods', items: present(methods) },
      {
        text: 'Reference',
        items: present([
          'reference/commands',
          'reference/recipe',
          'reference/formats',
          'reference/recipes',
          'reference/api/index',
        ]),
      },
      { text: 'Inside', items: present(last) },
    ],
  },
};
