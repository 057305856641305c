import { allocate, allocateForLoss, allocationFront } from '../../analysis/budget/allocate.ts';
import type { BudgetChoice } from '../../analysis/budget/choice.ts';
import { measureCost } from '../../analysis/cost.ts';
import type { Program } from '../../ir/graph.ts';
import { bitsIn, bytesIn, type Format } from './formats.ts';
import type { Budget, SensitivityOptions } from './options.ts';
import type { Unit } from './units.ts';

/** A format of all units of a choice. */
export interface FormatOption {
  readonly format: Format;
  /** Predicted or measured nats an item, summed over the units. */
  readonly loss: number;
  readonly bytes: number;
  /** Bits of all weights together, scales and zero points not counted. */
  readonly bits: number;
  /** Multiplications an item times bits of their weights. */
  readonly operations: number;
}

/** Units that are given one format. */
export interface FormatChoice {
  readonly name: string;
  readonly units: readonly Unit[];
  readonly options: readonly FormatOption[];
}

/** What an amount of a format option counts in a budget. */
export type Measure = 'bytes' | 'bits' | 'operations';

export interface Limit {
  readonly measure: Measure;
  /** Most of the measure over all choices; undefined where the loss is what is limited. */
  readonly most: number | undefined;
  readonly mostLoss: number | undefined;
}

/** Losses and costs of each format of tied units. */
export const choiceOf = (
  units: readonly Unit[],
  formats: readonly Format[],
  facts: {
    readonly grid: SensitivityOptions['grid'];
    lossOf(unit: Unit, format: Format): number;
    /** Multiplications an item. */
    multiplicationsOf(unit: Unit): number;
  },
): FormatChoice => ({
  name: units.map(({ name }) => name).join(' + '),
  units,
  options: formats.map((format): FormatOption => {
    const sum = (of: (unit: Unit) => number): number => units.reduce((all, unit) => all + of(unit), 0);
    return {
      format,
      loss: sum((unit) => facts.lossOf(unit, format)),
      bytes: sum((unit) => bytesIn(unit, format, facts.grid)),
      bits: sum((unit) => unit.elements * bitsIn(unit, format)),
      operations: sum((unit) => facts.multiplicationsOf(unit) * bitsIn(unit, format)),
    };
  }),
});

/** Bits that a multiplication is counted with before anything is rounded. */
const fullBits = 16;

/** A budget in the terms of the choices: what is not chosen about is taken off a size. */
export const limitOf = (
  budget: Budget,
  program: Program,
  choices: readonly FormatChoice[],
  multiplicationsOf: (unit: Unit) => number,
): Limit => {
  const units = choices.flatMap((choice) => choice.units);
  const { storedBytes } = measureCost(program);
  const other = storedBytes - units.reduce((sum, { bytes }) => sum + bytes, 0);
  const within = (measure: Measure, most: number): Limit => ({ measure, most, mostLoss: undefined });
  switch (budget.kind) {
    case 'average-bits':
      return within('bits', budget.most * units.reduce((sum, { elements }) => sum + elements, 0));
    case 'bytes':
      return within('bytes', budget.most - other);
    case 'size-ratio':
      return within('bytes', budget.most * storedBytes - other);
    case 'operations':
      return within(
        'operations',
        budget.most * fullBits * units.reduce((sum, unit) => sum + multiplicationsOf(unit), 0),
      );
    case 'divergence':
      return { measure: 'bytes', most: undefined, mostLoss: budget.most };
  }
};

const inMeasure = (choices: readonly FormatChoice[], measure: Measure): BudgetChoice[] =>
  choices.map(({ name, options }) => ({
    name,
    options: options.map((option) => ({ cost: option[measure], loss: option.loss })),
  }));

/** Indices of the options taken, the best that the limit allows. @throws 'mismatch' when nothing fits. */
export const allocateFormats = (
  choices: readonly FormatChoice[],
  { measure, most, mostLoss }: Limit,
): readonly number[] => {
  const list = inMeasure(choices, measure);
  if (mostLoss !== undefined) return allocateForLoss(list, mostLoss).picks;
  return allocate(list, most ?? Number.POSITIVE_INFINITY).picks;
};

/** What every budget can buy: cost in the measure and predicted loss, from the smallest model on. */
export const formatFront = (choices: readonly FormatChoice[], measure: Measure): { cost: number; loss: number }[] =>
  allocationFront(inMeasure(choices, measure));
