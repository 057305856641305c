import { lineChart } from '../charts/line.ts';
import { type Content, html } from '../html/markup.ts';
import { formatNumber } from '../numbers.ts';
import type { ReportStage } from '../schema.ts';

const number = (value: number): string => formatNumber(value, 3);

/** Losses and learning rates of a stage that trains. */
export const training = (stage: ReportStage, title: string): Content => {
  if (!stage.training) return '';
  const { steps, judged } = stage.training;
  const x = { title: 'step', word: (value: number) => formatNumber(value, 6) };
  const last = steps.at(-1);
  return html`${lineChart({
    title: `${title}: loss`,
    description: `Loss of the batches over ${last?.step ?? 0} steps, and the held-out loss${judged.length > 0 ? `, which went from ${number(judged[0]?.value ?? Number.NaN)} to ${number(judged.at(-1)?.value ?? Number.NaN)}` : ''}`,
    x,
    y: { title: 'loss', word: number },
    series: [
      { name: 'batch', points: steps.map(({ step, loss }) => [step, loss]), shape: 'line', colour: 1 },
      { name: 'held out', points: judged.map(({ step, value }) => [step, value]), shape: 'dots', colour: 0 },
    ],
  })}${lineChart({
    title: `${title}: learning rate`,
    description: 'Learning rate over the steps',
    x,
    y: { title: 'learning rate', word: number },
    series: [
      {
        name: 'learning rate',
        points: steps.map(({ step, learningRate }) => [step, learningRate]),
        shape: 'line',
        colour: 0,
      },
    ],
    fromZero: true,
  })}`;
};
