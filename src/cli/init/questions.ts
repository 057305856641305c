import { CompressError } from '../../errors.ts';
import type { Terminal } from '../../reporters/reporter.ts';
import type { FoundData } from './look-around.ts';
import type { Aim } from './template.ts';

/** What is decided before a recipe is written. */
export interface Answers {
  readonly aim: Aim;
  readonly calibration: string | undefined;
  readonly evaluation: string | undefined;
  readonly output: string;
}

const ownPath = 'another';
const noData = 'none';

/** Asks for what has not been given as a flag; `suggested` are the answers that Enter takes. */
export const askQuestions = async (
  terminal: Terminal,
  aims: readonly Aim[],
  found: readonly FoundData[],
  suggested: Answers,
  given: ReadonlySet<keyof Answers>,
): Promise<Answers> => {
  const { isCancel, select, text } = await import('@clack/prompts');
  const streams = { input: terminal.stdin, output: terminal.stdout };
  const answered = <Value>(value: Value): Exclude<Value, symbol> => {
    if (isCancel(value)) throw new CompressError({ code: 'interrupted', message: 'no recipe was written' });
    return value as Exclude<Value, symbol>;
  };
  const askData = async (message: string, initial: string | undefined): Promise<string | undefined> => {
    const texts = [...new Set([...(initial === undefined ? [] : [initial]), ...found.map((data) => data.text)])];
    const choice = answered(
      await select({
        ...streams,
        message,
        initialValue: initial ?? noData,
        options: [
          ...texts.map((value) => ({ value, label: value })),
          {
            value: noData,
            label: 'none',
            hint: 'seeded random samples: to see that everything runs, not to judge quality',
          },
          { value: ownPath, label: 'another', hint: 'kind:path,key=value,…' },
        ],
      }),
    );
    if (choice === noData) return undefined;
    return choice === ownPath
      ? answered(await text({ ...streams, message: `${message} (kind:path,key=value,…)` }))
      : choice;
  };
  const aim = given.has('aim')
    ? suggested.aim
    : answered(
        await select({
          ...streams,
          message: 'What do you want?',
          initialValue: suggested.aim.name,
          options: aims.map(({ name, label }) => ({ value: name, label })),
        }),
      );
  const calibration = given.has('calibration')
    ? suggested.calibration
    : await askData('Data that methods may look at', suggested.calibration);
  const evaluation = given.has('evaluation')
    ? suggested.evaluation
    : await askData('Data to measure on', suggested.evaluation);
  const output = given.has('output')
    ? suggested.output
    : answered(await text({ ...streams, message: 'Folder for the result', initialValue: suggested.output }));
  return { aim: aims.find(({ name }) => name === aim) ?? suggested.aim, calibration, evaluation, output };
};
