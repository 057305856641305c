import { sameDim } from '../dimension.ts';
import type { Graph } from '../graph.ts';
import type { Dim, Shape, ValueType } from '../shape.ts';
import type { Call, Rule, RuleTable } from './call.ts';
import { type Fact, tensorFact } from './fact.ts';
import { commonShape } from './shapes.ts';

const bodyOf = (call: Call, name: string): Graph => {
  const attribute = call.node.attributes.get(name);
  return attribute?.kind === 'graph' ? attribute.value : call.problem(`the attribute ${name} is missing`);
};

/** All that one branch says for both: they give the same element type. */
const elementTypeOnly = (type: ValueType | undefined): Fact =>
  type?.kind === 'tensor' ? tensorFact(type.dtype) : { type: undefined };

/** What holds whichever of two facts is the case. */
const commonFact = (call: Call, a: Fact | undefined, b: Fact | undefined): Fact => {
  const [x, y] = [a?.type, b?.type];
  if (!x || !y) return elementTypeOnly(x ?? y);
  if (x.kind !== y.kind) call.problem(`the branches give a ${x.kind} and a ${y.kind}`);
  if (x.kind !== 'tensor' || y.kind !== 'tensor') return { type: x };
  if (x.dtype && y.dtype && x.dtype !== y.dtype) call.problem(`the branches give ${x.dtype} and ${y.dtype}`);
  const same =
    a?.contents?.length === b?.contents?.length &&
    a?.contents?.every((dim, at) => sameDim(dim, b?.contents?.[at] ?? null));
  return tensorFact(x.dtype ?? y.dtype, commonShape(x.shape, y.shape), same ? a?.contents : undefined);
};

/** The outputs of the branch that runs where the condition is known, else what both branches have in common. */
const branch: Rule = (call) => {
  const yes = call.scope.inferBody(bodyOf(call, 'then_branch'), []);
  const no = call.scope.inferBody(bodyOf(call, 'else_branch'), []);
  const condition = call.numbers(0)?.[0];
  if (condition !== undefined) return condition === 0 ? no : yes;
  return call.node.outputs.map((_, index) => commonFact(call, yes[index], no[index]));
};

const withoutContents = (fact: Fact | undefined): Fact => ({ type: fact?.type });

const sameShapeText = (a: Shape | undefined, b: Shape | undefined): boolean =>
  a === b || (a !== undefined && b !== undefined && a.length === b.length && a.every((dim, axis) => dim === b[axis]));

const sameFact = (a: Fact, b: Fact): boolean => {
  const [x, y] = [a.type, b.type];
  if (x?.kind !== 'tensor' || y?.kind !== 'tensor') return x?.kind === y?.kind;
  return x.dtype === y.dtype && sameShapeText(x.shape, y.shape);
};

const mostRounds = 8;

/** Carried values whose shape changes from turn to turn lose the dimensions that change. */
const settle = (
  call: Call,
  initial: readonly Fact[],
  turn: (carried: readonly Fact[]) => readonly Fact[],
): { carried: readonly Fact[]; results: readonly Fact[] } => {
  let carried = initial.map(withoutContents);
  for (let round = 0; ; round++) {
    const results = turn(carried);
    const next = carried.map((fact, index) => withoutContents(commonFact(call, fact, results[index] ?? fact)));
    if (next.every((fact, index) => sameFact(fact, carried[index]!)) || round === mostRounds)
      return { carried: next, results };
    carried = next;
  }
};

const stacked = (fact: Fact | undefined, count: Dim, axis: (rank: number) => number): Fact => {
  const type: ValueType | undefined = fact?.type;
  if (type?.kind !== 'tensor') return { type: undefined };
  if (!type.shape) return tensorFact(type.dtype);
  const at = axis(type.shape.length + 1);
  return tensorFact(type.dtype, [...type.shape.slice(0, at), count, ...type.shape.slice(at)]);
};

/** Inputs M, cond, carried…; the body gets (turn, cond, carried…) and gives (cond, carried…, scanned…). */
const loop: Rule = (call) => {
  const body = bodyOf(call, 'body');
  const carriedCount = call.node.inputs.length - 2;
  const initial = Array.from({ length: carriedCount }, (_, index) => call.fact(index + 2) ?? { type: undefined });
  const { carried, results } = settle(call, initial, (facts) =>
    call.scope.inferBody(body, [tensorFact('int64', []), tensorFact('bool', []), ...facts]).slice(1),
  );
  const turns = typeof call.contents(1)?.[0] === 'number' || !call.has(1) ? (call.contents(0)?.[0] ?? null) : null;
  const endsEarly = !alwaysContinues(body);
  return [...carried, ...results.slice(carriedCount).map((fact) => stacked(fact, endsEarly ? null : turns, () => 0))];
};

/** Whether the loop condition that a body gives is the one it was given, or the constant true. */
const alwaysContinues = (body: Graph): boolean => {
  let condition = body.outputs[0];
  while (condition?.producer?.op === 'Identity') condition = condition.producer.inputs[0];
  return condition !== undefined && condition === body.inputs[1];
};

/** Opset 9 on: states…, scanned inputs…; one turn for each slice of the scanned inputs. */
const scan: Rule = (call) => {
  if (call.opset < 9) return [undefined];
  const body = bodyOf(call, 'body');
  const scannedCount = call.node.int('num_scan_inputs', 0);
  const stateCount = call.node.inputs.length - scannedCount;
  if (scannedCount < 1 || stateCount < 0)
    call.problem(`num_scan_inputs is ${scannedCount} for ${call.node.inputs.length} inputs`);
  const inputAxes = call.node.ints('scan_input_axes');
  const outputAxes = call.node.ints('scan_output_axes');
  let turns: Dim = null;
  const slices = Array.from({ length: scannedCount }, (_, index): Fact => {
    const shape = call.shape(stateCount + index);
    if (!shape) return tensorFact(call.dtype(stateCount + index));
    const axis = call.axis(inputAxes?.[index] ?? 0, shape.length);
    turns ??= shape[axis] ?? null;
    return tensorFact(
      call.dtype(stateCount + index),
      shape.filter((_, at) => at !== axis),
    );
  });
  const initial = Array.from({ length: stateCount }, (_, index) => call.fact(index) ?? { type: undefined });
  const { carried, results } = settle(call, initial, (facts) => call.scope.inferBody(body, [...facts, ...slices]));
  const scanned = results
    .slice(stateCount)
    .map((fact, index) => stacked(fact, turns, (rank) => call.axis(outputAxes?.[index] ?? 0, rank)));
  return [...carried, ...scanned];
};

/** A body applied to every element of sequences. */
const sequenceMap: Rule = (call) => {
  const elements = call.node.inputs.map((_, index): Fact => {
    const type = call.type(index);
    return { type: type?.kind === 'sequence' ? type.element : type };
  });
  return call.scope
    .inferBody(bodyOf(call, 'body'), elements)
    .map(({ type }) => ({ type: type ? { kind: 'sequence', element: type } : undefined }));
};

export const controlFlowRules: RuleTable = { If: branch, Loop: loop, Scan: scan, SequenceMap: sequenceMap };
