import type { Dataset } from '../../calibration/dataset.ts';
import { CompressError, internalError } from '../../errors.ts';
import { cloneProgram } from '../../ir/clone.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import type { Model } from '../../ir/model.ts';
import { primaryOutput } from '../../metrics/outputs.ts';
import type { CaptureFacts } from '../../training/capture/format.ts';
import { CapturedTeacher, readCapture } from '../../training/capture/read.ts';
import type { ScoreKind } from '../../training/loss-graph.ts';
import { ModelTeacher, type Teacher } from '../../training/teacher.ts';
import type { StageContext } from '../stage.ts';
import type { DistillOptions, TeacherChoice } from './options.ts';

/** A model that teaches, before it is loaded. */
export interface TeacherModel {
  readonly kind: 'model';
  /** A copy of its own, to which what is learned from may be appended. */
  readonly program: Program;
  readonly origin: string;
  /** Among all teachers; shares sum to 1. */
  readonly share: number;
}

/** Scores that were captured of a teacher. */
export interface CapturedScores {
  readonly kind: 'captured';
  readonly folder: string;
  readonly capture: CaptureFacts;
  readonly origin: string;
  readonly share: number;
}

export type TeacherSource = TeacherModel | CapturedScores;

const sourceOf = async ({ path }: TeacherChoice, share: number, { models }: StageContext): Promise<TeacherSource> => {
  if (!models) throw internalError('a stage that learns from other models was run without them');
  const folder = path === 'input' ? undefined : models.captureAt?.(path);
  if (folder !== undefined) return { kind: 'captured', folder, capture: readCapture(folder), origin: path, share };
  const model: Model = path === 'input' ? models.original : await models.open(path);
  const program = cloneProgram(model.program);
  inferShapes(program);
  return { kind: 'model', program, origin: model.origin, share };
};

/**
 * Opens the graphs of the teachers, with the types of their values known, and what was captured. No weight is read.
 * @throws 'usage' where what was captured was softened by another temperature than training asks for.
 */
export const openTeachers = async (options: DistillOptions, context: StageContext): Promise<TeacherSource[]> => {
  const total = options.teachers.reduce((sum, { weight }) => sum + weight, 0);
  const found: TeacherSource[] = [];
  for (const choice of options.teachers) found.push(await sourceOf(choice, choice.weight / total, context));
  for (const teacher of found)
    if (teacher.kind === 'captured' && teacher.capture.temperature !== options.temperature)
      throw new CompressError({
        code: 'usage',
        message: `the scores in ${teacher.origin} were captured at temperature ${teacher.capture.temperature}, and training asks for ${options.temperature}`,
        where: { key: 'temperature' },
        hint: 'Of the smaller chances only the sum was kept, which cannot be softened: capture at this temperature.',
      });
  return found;
};

/** The value of a program with a name. @throws 'not-found'. */
export const namedValue = ({ graph }: Program, name: string, whose: string): Value => {
  const values = [...graph.outputs, ...graph.nodes.flatMap((node) => [...node.outputs])];
  const value = values.find((candidate) => candidate?.name === name);
  if (value) return value;
  throw new CompressError({
    code: 'not-found',
    message: `the ${whose} has no value ${name}`,
    where: { key: 'losses.features', tensor: name },
    hint: `Its outputs are ${graph.outputs.map((output) => output.name).join(', ')}.`,
  });
};

/** The scores that a program gives. @throws 'unsupported' when it gives none. */
export const scoresOf = (program: Program, whose: string): { readonly value: Value; readonly kind: ScoreKind } => {
  const output = primaryOutput(program);
  const value = output && program.graph.outputs.find((candidate) => candidate.name === output.name);
  if (value && output.kind !== 'chance') return { value, kind: output.kind };
  throw new CompressError({
    code: 'unsupported',
    message: `the ${whose} gives no scores of classes that distributions could be compared by`,
    hint: 'Compare values instead (losses: { features: [{ student: last_hidden_state }] }).',
  });
};

/** Loads a teacher. @throws 'mismatch' for scores that were captured on other data. */
export const loadTeacher = async (
  teacher: TeacherSource,
  values: readonly Value[],
  dataset: Dataset,
  maxCacheBytes: number,
  { engine, scratch, signal }: StageContext,
): Promise<Teacher> => {
  if (teacher.kind === 'captured') return new CapturedTeacher(teacher.folder, teacher.capture, dataset);
  return ModelTeacher.open({
    program: teacher.program,
    values,
    dataset,
    engine,
    maxCacheBytes,
    session: { scratchDirectory: scratch.directory, origin: teacher.origin, signal },
  });
};
