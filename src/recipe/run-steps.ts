import { statSync } from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import type { FormatContext } from '../artifact/formats/format.ts';
import type { ArtifactWriter, WrittenFormat } from '../artifact/write.ts';
import { CompressError, CompressErrors } from '../errors.ts';
import type { Model } from '../ir/model.ts';
import { modelCard } from '../report/card/model-card.ts';
import { originOf } from '../report/card/source-card.ts';
import type { RunReport } from '../report/schema.ts';
import type { Emit, MetricResult } from './events.ts';
import { type AfterResult, type GateVerdict, judgeGates } from './gates.ts';
import { type Keyed, type MeasureContext, measureAfter } from './measure.ts';
import type { PreparedRun } from './prepare.ts';
import type { Recipe } from './recipe.ts';

const cardName = 'README.md';

/** Writes every format of a recipe into the staging folder. */
export const writeFormats = async (
  recipe: Recipe,
  writer: ArtifactWriter,
  model: Model,
  {
    emit,
    signal,
    convert,
  }: {
    readonly emit: Emit;
    readonly signal: AbortSignal;
    readonly convert: NonNullable<FormatContext['convert']>;
  },
): Promise<WrittenFormat[]> => {
  const written: WrittenFormat[] = [];
  for (const { name, card, options } of recipe.formats) {
    const task = `write ${name}`;
    const format = await writer.writeFormat(card, options, model, {
      signal,
      convert,
      target: recipe.target,
      onProgress: (done, total, item) => emit({ type: 'progress', task, done, total, unit: 'bytes', item }),
    });
    const path = recipe.formats.length > 1 ? `${recipe.output}/${basename(format.directory)}` : recipe.output;
    emit({ type: 'artifact-written', format: name, path, bytes: format.byteLength });
    for (const { text, site, kind } of format.findings)
      emit({
        type: 'message',
        severity: kind === 'fact' ? 'info' : 'warning',
        text,
        ...(site === undefined ? {} : { site }),
      });
    written.push(format);
  }
  return written;
};

export const measureFormats = async (
  formats: readonly WrittenFormat[],
  before: Keyed,
  { evaluation }: PreparedRun,
  context: MeasureContext,
): Promise<AfterResult[]> => {
  const results: AfterResult[] = [];
  for (const format of formats) results.push(...(await measureAfter(format, before, evaluation, context)));
  return results;
};

/** Judges every gate and tells the verdicts. @throws CompressErrors for gates that nothing was measured for. */
export const judge = (
  recipe: Recipe,
  before: readonly MetricResult[],
  after: readonly AfterResult[],
  emit: Emit,
): GateVerdict[] => {
  const { verdicts, unmeasured } = judgeGates(recipe.gates, before, after);
  for (const { metric: _, where, ...verdict } of verdicts) {
    const { file, line, column } = where;
    const place =
      file !== undefined && line !== undefined && column !== undefined ? { where: { file, line, column } } : {};
    emit({ type: 'gate', ...verdict, ...place });
  }
  if (unmeasured.length > 0)
    throw new CompressErrors(
      unmeasured.map(
        ({ gate, reason }) =>
          new CompressError({
            code: 'gate',
            message: `the gate '${gate.metric}' could not be judged: ${reason}`,
            where: gate.where,
            hint: 'Name data and a format that the metric can be measured on.',
          }),
      ),
    );
  return verdicts;
};

/** Writes a model card beside every artifact. @param work.source path that the model was opened from. */
export const writeCards = async (
  writer: ArtifactWriter,
  work: {
    readonly report: RunReport;
    readonly model: Model;
    readonly formats: readonly WrittenFormat[];
    readonly source: string;
  },
): Promise<void> => {
  const { report, model, formats, source } = work;
  const folder = statSync(source).isDirectory() ? source : dirname(source);
  const origin = originOf(folder, model.config);
  for (const [index, artifact] of report.artifacts.entries()) {
    const { directory, entry } = formats[index] ?? { directory: writer.directory, entry: undefined };
    const inside = entry === undefined ? undefined : relative(directory, entry).replaceAll('\\', '/');
    const card = modelCard(report, artifact, { origin, config: model.config, entry: inside });
    await writer.addFile(join(artifact.directory, cardName), new TextEncoder().encode(card));
  }
};
