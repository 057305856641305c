import { type Block, findBlocks } from '../../analysis/blocks.ts';
import { WeightCosts } from '../../curvature/removal/costs.ts';
import { CompressError } from '../../errors.ts';
import { cloneGraph } from '../../ir/clone.ts';
import { removeDead } from '../../ir/edit/remove-dead.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { inferFacts } from '../../ir/inference/infer.ts';
import type { Shape } from '../../ir/shape.ts';
import { type Pooling, picturesFeatures } from './heads.ts';
import type { ExitsOptions } from './options.ts';

/** A place where a sample may leave the model. */
export interface ExitPlace {
  /** The block before it. */
  readonly block: Block;
  /** What flows on there: (batch, channels, height, width) of pictures, or channels along the last axis. */
  readonly stream: Value;
  readonly pooling: Pooling;
  /** Features that a head reads there. */
  readonly features: number;
  /** Multiplications that a sample has cost up to here. */
  readonly operations: number;
}

export interface ExitPlaces {
  readonly chosen: readonly ExitPlace[];
  /** Scores of the model: (…, classes). */
  readonly output: Value;
  readonly classes: number;
  /** Multiplications of the whole model for a sample. */
  readonly operations: number;
}

const unsupported = (message: string, hint: string): CompressError =>
  new CompressError({ code: 'unsupported', message, hint });

/** The shape of a value: its rank, and its lengths where they are fixed. */
const shapeOf = (value: Value, facts: ReturnType<typeof inferFacts>['facts']) => {
  const type = facts.get(value)?.type ?? value.type;
  return type?.kind === 'tensor' && type.dtype === 'float32' ? type.shape : undefined;
};

/** Multiplications that are needed for some values. */
const operationsFor = (program: Program, values: readonly Value[]): number => {
  const known = new Map<Value, Value>();
  const graph = cloneGraph(program.graph, known);
  graph.outputs.splice(0, graph.outputs.length, ...values.map((value) => known.get(value)!));
  removeDead(graph);
  return new WeightCosts({ ...program, graph }, 'all').total.operations;
};

/** The only activation that later blocks read of a block, where there is one. */
const streamAfter = (blocks: readonly Block[], index: number): Value | undefined => {
  const before = new Set(blocks.slice(0, index + 1).flatMap(({ outputs }) => outputs));
  const later = new Set(blocks.slice(index + 1).flatMap(({ inputs }) => inputs.filter((value) => before.has(value))));
  const [only, ...others] = later;
  return only && others.length === 0 ? only : undefined;
};

const placesIn = (program: Program, rank: number): ExitPlace[] => {
  const { facts } = inferFacts(program);
  const blocks = findBlocks(program);
  return blocks.flatMap((block, index): ExitPlace[] => {
    const stream = index + 1 < blocks.length ? streamAfter(blocks, index) : undefined;
    const shape = stream && shapeOf(stream, facts);
    if (!stream || !shape) return [];
    const read = readingOf(shape, rank);
    return read ? [{ block, stream, ...read, operations: operationsFor(program, [stream]) }] : [];
  });
};

/** Cells of a grid a side that pictures are averaged over, the first that divides both sides. */
const gridSizes = [4, 2] as const;

/** How a stream of a shape is read. @param rank of the model's output: 3 where it scores every position */
const readingOf = (shape: Shape, rank: number): Pick<ExitPlace, 'pooling' | 'features'> | undefined => {
  const [, second, height, width] = shape;
  const last = shape.at(-1);
  if (shape.length === 4 && rank === 2 && typeof second === 'number') {
    const divides = (cells: number): boolean =>
      [height, width].every((side) => typeof side === 'number' && side >= 2 * cells && side % cells === 0);
    const cells = gridSizes.find(divides) ?? 1;
    const cellSize = [Number(height) / cells, Number(width) / cells] as const;
    return { pooling: { kind: 'picture', cells, cellSize }, features: second * picturesFeatures(cells) };
  }
  if (typeof last !== 'number' || (shape.length !== 3 && (shape.length !== 2 || rank !== 2))) return undefined;
  return { pooling: { kind: shape.length === 3 && rank === 2 ? 'mean' : 'none' }, features: last };
};

/** Places spread evenly by what has been computed before them. */
const spread = (places: readonly ExitPlace[], count: number, whole: number): ExitPlace[] => {
  const chosen = new Set<ExitPlace>();
  for (let exit = 1; exit <= count; exit++) {
    const aim = (whole * exit) / (count + 1);
    const left = places.filter((place) => !chosen.has(place));
    if (left.length === 0) break;
    chosen.add(left.reduce((a, b) => (Math.abs(b.operations - aim) < Math.abs(a.operations - aim) ? b : a)));
  }
  return [...chosen].sort((a, b) => a.operations - b.operations);
};

/** An exit beyond this share of the operations saves nothing. */
const lastShare = 0.95;

/**
 * Where a model can be left early under the options.
 * @throws 'unsupported' for models with several outputs or no place with a single stream; 'usage' for places that are none.
 */
export const findExitPlaces = (program: Program, { after }: Pick<ExitsOptions, 'after'>): ExitPlaces => {
  const [output, ...others] = program.graph.outputs;
  const shape = output && shapeOf(output, inferFacts(program).facts);
  const classes = shape?.at(-1);
  if (!output || others.length > 0 || typeof classes !== 'number' || (shape!.length !== 2 && shape!.length !== 3))
    throw unsupported(
      'early exits need a model with one output, scores of classes',
      'Use a classifier, or a language model in the scoring layout.',
    );
  const operations = operationsFor(program, [output]);
  const places = placesIn(program, shape!.length).filter((place) => place.operations <= lastShare * operations);
  if (places.length === 0)
    throw unsupported(
      'there is no place between blocks where a single activation flows on',
      'Early exits stand where everything later depends on one value.',
    );
  if (typeof after === 'number') return { chosen: spread(places, after, operations), output, classes, operations };
  const byIndex = new Map(places.map((place) => [place.block.index, place]));
  const missing = after.find((index) => !byIndex.has(index));
  if (missing !== undefined)
    throw new CompressError({
      code: 'usage',
      message: `there can be no exit behind block ${missing}`,
      where: { key: 'after' },
      hint: `Exits can stand behind the blocks ${[...byIndex.keys()].join(', ')}.`,
    });
  return { chosen: after.map((index) => byIndex.get(index)!), output, classes, operations };
};
