import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { CompressError, internalError } from '../errors.ts';
import type { SensitivityOptions } from '../stages/sensitivity/options.ts';
import type { SensitivityReport } from '../stages/sensitivity/report.ts';
import { findSensitivity } from '../stages/sensitivity/sensitivity.ts';
import { askStage, type StageQuestion } from './ask-stage.ts';
import { calibrationOf, prepareRun } from './prepare.ts';
import { orExplain, writeWhole } from './store.ts';

/**
 * What the sensitivity stage of a recipe finds out, without making a model. What it gathers stays in the cache for
 * later stages and commands.
 * @throws CompressErrors with everything that is wrong with the recipe.
 */
export const analyseSensitivity = async (question: StageQuestion): Promise<SensitivityReport> => {
  const { recipe } = question;
  const [stage] = recipe.stages;
  if (stage?.name !== 'sensitivity') throw internalError('a recipe without a sensitivity stage was to be analysed');
  const prepared = await prepareRun(recipe);
  const calibration = calibrationOf(prepared);
  if (!calibration)
    throw new CompressError({
      code: 'usage',
      message: 'there are no data to find sensitivities on',
      hint: 'Name some: --calibration text:corpus.txt,window=512,samples=64',
    });
  const { report } = await askStage(question, calibration, (context) =>
    findSensitivity(prepared.model.program, calibration, stage.options as SensitivityOptions, context),
  );
  return report;
};

/** The losses of all formats as comma-separated values: one line for each weight and format. */
const lossLines = ({ sites }: SensitivityReport): string =>
  [
    'site,format,bytes,loss,measured,chosen',
    ...sites.flatMap(({ site, options, chosen }) =>
      options.map(({ format, bytes, loss, measured }) =>
        [JSON.stringify(site), format, bytes, loss, measured ?? '', chosen === format ? 1 : 0].join(','),
      ),
    ),
    '',
  ].join('\n');

const frontLines = ({ front }: SensitivityReport): string =>
  [`${front.measure},loss`, ...front.points.map(({ cost, loss }) => `${cost},${loss}`), ''].join('\n');

/** Writes a report as files: sensitivity.json, losses.csv, front.csv, and recipe.yaml where widths were chosen. */
export const writeSensitivity = (report: SensitivityReport, directory: string, model: string): readonly string[] => {
  orExplain(directory, () => mkdirSync(directory, { recursive: true }));
  const { recipe, ...facts } = report;
  const files: [string, string][] = [
    ['sensitivity.json', `${JSON.stringify(facts, null, 2)}\n`],
    ['losses.csv', lossLines(report)],
    ['front.csv', frontLines(report)],
  ];
  if (recipe !== undefined) files.push(['recipe.yaml', `${stringify({ model })}${recipe}`]);
  return files.map(([name, text]) => {
    const path = join(directory, name);
    writeWhole(path, text);
    return path;
  });
};
