import { extractSegment } from '../../analysis/segment.ts';
import { internalError } from '../../errors.ts';
import { OperatorBuilder } from '../../ir/build.ts';
import type { DataType } from '../../ir/data-type.ts';
import { removeDead } from '../../ir/edit/remove-dead.ts';
import { type Program, Value } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import { appendGradients } from '../gradient.ts';
import type { BlockPart } from './plan.ts';

/** A program that computes one block again and its gradients; values of the whole program by the names it has for them. */
export interface BlockGradient {
  readonly program: Program;
  /** Inputs that take the gradients of the block's outputs. */
  readonly seeds: ReadonlyMap<Value, string>;
  /** Outputs with the gradients: of block inputs that earlier blocks need, and of requested values. */
  readonly gradients: ReadonlyMap<Value, string>;
  /** Outputs with the watched values. */
  readonly values: ReadonlyMap<Value, string>;
}

export interface BlockGradientRequest {
  readonly program: Program;
  readonly part: BlockPart;
  /** Outputs of the block whose gradients will be fed. */
  readonly seeded: readonly Value[];
  /** A value whose gradient the block computes itself: `loss` with `seed`, or 1 without. */
  readonly start?: { readonly loss: Value; readonly seed: Value | undefined } | undefined;
  /** Element types of block inputs where they are known better than the graph states them. */
  readonly typeOf?: ((value: Value) => DataType | undefined) | undefined;
}

/** The program of one block's way back: its forward nodes again, then their gradients. */
export const buildBlockGradient = (request: BlockGradientRequest): BlockGradient => {
  const { part, start, seeded } = request;
  const { block } = part;
  const needed = [...part.of, ...part.watch, ...(start?.seed ? [start.seed] : []), ...(start ? [start.loss] : [])];
  const ends = [...block.outputs, ...needed.filter((value) => value.producer && !block.inputs.includes(value))];
  const segment = extractSegment(request.program, { ...block, outputs: [...new Set(ends)] }, request.typeOf);
  const { program } = segment;
  const { graph } = program;
  const inside = (value: Value): Value => {
    const found = segment.valueOf(value);
    if (found) return found;
    throw internalError(`the value ${value.name} is not part of ${block.name}`);
  };
  const seeds = new Map<Value, Value>();
  const seedNames = new Map<Value, string>();
  for (const value of seeded) {
    const seed = new Value(`gradient of ${value.name}`, inside(value).type);
    graph.inputs.push(seed);
    seeds.set(inside(value), seed);
    seedNames.set(value, seed.name);
  }
  if (start) seeds.set(inside(start.loss), startOf(program, inside(start.loss), start.seed && inside(start.seed)));
  const of = [...new Set([...part.back, ...part.of])].map(inside);
  const { byValue } = appendGradients({ graph, seeds, of, prefix: `gradient/${block.name}` });
  const outputs = new OperatorBuilder(graph, `result/${block.name}`);
  graph.outputs.length = 0;
  const publish = (value: Value): string => {
    const plain = value.producer !== undefined && !graph.outputs.includes(value);
    const output = plain ? value : outputs.typed(outputs.call('Identity', [value]), value.type);
    if (!graph.outputs.includes(output)) graph.outputs.push(output);
    return output.name;
  };
  const gradients = new Map<Value, string>();
  for (const value of new Set([...part.back, ...part.of])) {
    const gradient = byValue.get(inside(value));
    if (gradient) gradients.set(value, publish(gradient));
  }
  const values = new Map(part.watch.map((value) => [value, publish(inside(value))]));
  removeDead(graph);
  inferShapes(program);
  return { program, seeds: seedNames, gradients, values };
};

const startOf = (program: Program, loss: Value, seed: Value | undefined): Value => {
  if (seed) return seed;
  const build = new OperatorBuilder(program.graph, 'start');
  return build.call('Expand', [build.scalarLike(1, loss), build.call('Shape', [loss])]);
};
