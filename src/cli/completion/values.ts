import { formats } from '../../artifact/formats/index.ts';
import { metrics } from '../../metrics/table.ts';
import { reporters } from '../../reporters/index.ts';

const names = (cards: readonly { readonly name: string }[]): string[] => cards.map(({ name }) => name);

/** What can follow flags whose words stand in a table of ours, by the flag's long name. */
export const flagValues = (): ReadonlyMap<string, readonly string[]> =>
  new Map([
    ['--to', names(formats)],
    ['--metric', names(metrics)],
    ['--reporter', names(reporters)],
    ['--layout', ['scoring', 'generation']],
    ['--precision', ['float16', 'bfloat16', 'float32']],
    ['--activations', ['none', 'static', 'dynamic']],
    ['--clip', ['none', 'mse', 'hessian', 'auto']],
  ]);
