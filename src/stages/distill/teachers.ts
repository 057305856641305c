import type { Dataset } from '../../calibration/dataset.ts';
import { CompressError, internalError } from '../../errors.ts';
import { cloneProgram } from '../../ir/clone.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import type { Model } from '../../ir/model.ts';
import { primaryOutput } from '../../metrics/outputs.ts';
import { Teacher } from '../../training/teacher.ts';
import type { StageContext } from '../stage.ts';
import type { DistillOptions, TeacherChoice } from './options.ts';

/** A teacher before it is loaded. */
export interface TeacherModel {
  readonly program: Program;
  readonly origin: string;
  /** Among all teachers; shares sum to 1. */
  readonly share: number;
}

const modelOf = async ({ path }: TeacherChoice, { models }: StageContext): Promise<Model> => {
  if (!models) throw internalError('a stage that learns from other models was run without them');
  return path === 'input' ? models.original : models.open(path);
};

/** Opens the graphs of the teachers, with the types of their values known. No weight is read. */
export const openTeachers = async (options: DistillOptions, context: StageContext): Promise<TeacherModel[]> => {
  const total = options.teachers.reduce((sum, { weight }) => sum + weight, 0);
  const found: TeacherModel[] = [];
  for (const choice of options.teachers) {
    const model = await modelOf(choice, context);
    const program = cloneProgram(model.program);
    inferShapes(program);
    found.push({ program, origin: model.origin, share: choice.weight / total });
  }
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
export const scoresOf = (
  program: Program,
  whose: string,
): { readonly value: Value; readonly kind: 'scores' | 'probabilities' | 'log-probabilities' } => {
  const output = primaryOutput(program);
  const value = output && program.graph.outputs.find((candidate) => candidate.name === output.name);
  if (value && output.kind !== 'chance') return { value, kind: output.kind };
  throw new CompressError({
    code: 'unsupported',
    message: `the ${whose} gives no scores of classes that distributions could be compared by`,
    hint: 'Compare values instead (losses: { features: [{ student: last_hidden_state }] }).',
  });
};

/** Loads a teacher into the engine. */
export const loadTeacher = (
  teacher: TeacherModel,
  values: readonly Value[],
  dataset: Dataset,
  maxCacheBytes: number,
  { engine, scratch, signal }: StageContext,
): Promise<Teacher> =>
  Teacher.open({
    program: teacher.program,
    values,
    dataset,
    engine,
    maxCacheBytes,
    session: { scratchDirectory: scratch.directory, origin: teacher.origin, signal },
  });
