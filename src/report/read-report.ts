import { existsSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readJsonObject } from '../artifact/json-file.ts';
import { CompressError } from '../errors.ts';
import { courseOf } from './course.ts';
import { readEvents } from './read-events.ts';
import { type RunReport, reportSchema } from './schema.ts';

const reportName = 'report.json';
const eventsName = 'events.ndjson';

/**
 * The report of a run, with how the run went where its log of events is still there.
 * @param path an output folder, or a report.json.
 * @throws not-found, malformed, unsupported.
 */
export const readReport = (path: string): RunReport => {
  const file = statSync(path, { throwIfNoEntry: false })?.isDirectory() ? join(path, reportName) : path;
  if (!existsSync(file))
    throw new CompressError({
      code: 'not-found',
      message: file === path ? 'there is no such run' : `the folder has no ${reportName}`,
      where: { file: path },
      hint: 'Name the output folder of a run that has ended; `compress watch` shows one that goes on.',
    });
  const value = readJsonObject(file);
  const parsed = reportSchema.safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const version = value.schemaVersion;
    const other = version !== 1;
    throw new CompressError({
      code: other ? 'unsupported' : 'malformed',
      message: other
        ? `the report has schema version ${version === undefined ? 'none' : String(version)}; this program knows version 1`
        : `not a report of modelpress: ${issue?.message}`,
      where: { file, ...(issue && issue.path.length > 0 ? { key: issue.path.join('.') } : {}) },
      ...(other ? { hint: 'Run the recipe again with this version.' } : {}),
    });
  }
  const events = join(dirname(file), eventsName);
  const course = existsSync(events) ? courseOf(readEvents(events)) : undefined;
  return { ...parsed.data, ...(course ? { course } : {}) };
};
