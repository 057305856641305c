import { undominated } from '../../analysis/budget/choice.ts';
import type { FormatChoice, Limit, Measure } from './budget.ts';

/** A change of one or two choices that keeps within a limit. */
interface Exchange {
  readonly picks: readonly number[];
  /** Predicted change of the loss. */
  readonly predicted: number;
}

export interface SearchResult {
  readonly picks: readonly number[];
  /** Measured divergence of the picks that the search began with, and of those that it ended with. */
  readonly before: number;
  readonly after: number;
  readonly tried: number;
  readonly taken: number;
}

/** The next cheaper and the next dearer option of each choice that nothing beats. */
const neighbours = (choice: FormatChoice, pick: number, measure: Measure): { down?: number; up?: number } => {
  const front = undominated(choice.options.map((option) => ({ cost: option[measure], loss: option.loss })));
  const at = front.findIndex(({ index }) => index === pick);
  if (at < 0) return {};
  const [down, up] = [front[at - 1]?.index, front[at + 1]?.index];
  return { ...(down === undefined ? {} : { down }), ...(up === undefined ? {} : { up }) };
};

/** Exchanges from some picks: a choice made dearer and another cheaper, or one alone, the best predicted first. */
const exchangesFrom = (
  choices: readonly FormatChoice[],
  picks: readonly number[],
  { measure, most }: Limit,
): Exchange[] => {
  const steps = choices.map((choice, index) => neighbours(choice, picks[index]!, measure));
  const optionAt = (choice: number, pick: number) => choices[choice]!.options[pick]!;
  const cost = picks.reduce((sum, pick, choice) => sum + optionAt(choice, pick)[measure], 0);
  const change = (choice: number, to: number) => ({
    cost: optionAt(choice, to)[measure] - optionAt(choice, picks[choice]!)[measure],
    loss: optionAt(choice, to).loss - optionAt(choice, picks[choice]!).loss,
  });
  const found: Exchange[] = [];
  const add = (moves: readonly (readonly [number, number])[]): void => {
    const sums = moves.map(([choice, to]) => change(choice, to));
    const dearer = sums.reduce((sum, { cost: more }) => sum + more, 0);
    if (most !== undefined && cost + dearer > most) return;
    const predicted = sums.reduce((sum, { loss }) => sum + loss, 0);
    found.push({
      picks: picks.map((pick, choice) => moves.find(([moved]) => moved === choice)?.[1] ?? pick),
      predicted,
    });
  };
  for (const [raised, { up }] of steps.entries()) {
    if (up === undefined) continue;
    add([[raised, up]]);
    for (const [lowered, { down }] of steps.entries())
      if (lowered !== raised && down !== undefined)
        add([
          [raised, up],
          [lowered, down],
        ]);
  }
  return found.sort((a, b) => a.predicted - b.predicted);
};

/**
 * Local search after an allocation: predicted losses add up only nearly, so exchanges between two choices are tried in
 * the order of their predicted loss and kept where the measured divergence of the whole model falls.
 * @param measure divergence of the model with these picks.
 */
export const searchExchanges = async (
  choices: readonly FormatChoice[],
  start: readonly number[],
  limit: Limit,
  tries: number,
  measure: (picks: readonly number[]) => Promise<number>,
): Promise<SearchResult> => {
  const before = await measure(start);
  const seen = new Set([start.join()]);
  let [picks, least, taken, tried] = [start, before, 0, 0];
  while (tried < tries) {
    const next = exchangesFrom(choices, picks, limit).find((exchange) => !seen.has(exchange.picks.join()));
    if (!next) break;
    seen.add(next.picks.join());
    tried++;
    const divergence = await measure(next.picks);
    if (divergence >= least) continue;
    [picks, least] = [next.picks, divergence];
    taken++;
  }
  return { picks, before, after: least, tried, taken };
};
