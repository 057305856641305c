import { CompressError, CompressErrors } from '../../../../errors.ts';
import { nameSource } from '../../../../ir/edit/names.ts';
import type { Graph, Node, Program } from '../../../../ir/graph.ts';
import { inferFacts } from '../../../../ir/inference/infer.ts';
import { graphsWithin } from '../../../../ir/walk.ts';
import { upgradableOperators } from './opset/operators.ts';
import { nodeLabel, type Place, type Rule } from './opset/rewrite.ts';
import { rulesTo12 } from './opset/rules-8-to-12.ts';
import { rulesFrom13 } from './opset/rules-13-to-25.ts';

/** The oldest operator set that can be upgraded, and the newest that can be reached. */
const oldestOpset = 7;
const newestOpset = 25;

/** IR version that came with each operator set (the least that may carry it). */
const irVersions: readonly (readonly [opset: number, irVersion: number])[] = [
  [25, 13],
  [24, 12],
  [23, 11],
  [21, 10],
  [19, 9],
  [15, 8],
  [12, 7],
  [11, 6],
  [10, 5],
  [9, 4],
];

/** The least IR version for an operator set, never below 4 (from which constants need not be graph inputs). */
export const irVersionFor = (opset: number): number => irVersions.find(([least]) => opset >= least)?.[1] ?? 4;

const opsetOf = (opsets: ReadonlyMap<string, number>): number => opsets.get('') ?? 1;

/**
 * Raises the IR version. Before IR 4 every constant had to be listed among the graph's inputs and still was a
 * constant; from 4 on a listed one can be replaced by the caller. So that constants stay constants, they leave the list.
 */
export const raiseIrVersion = (program: Program, irVersion: number): void => {
  if (program.irVersion >= irVersion) return;
  if (program.irVersion < 4)
    for (const graph of graphsWithin(program.graph)) {
      const kept = graph.inputs.filter((value) => !graph.initializers.has(value));
      graph.inputs.splice(0, graph.inputs.length, ...kept);
    }
  program.irVersion = irVersion;
};

const ruleFor = (op: string, version: number): Rule | undefined =>
  rulesTo12.get(op)?.get(version) ?? rulesFrom13.get(op)?.get(version);

interface Body {
  readonly graph: Graph;
  readonly constants: Place['constants'];
}

const upgradeBody = (body: Body, typeOf: Place['typeOf'], from: number, to: number): void => {
  const names = nameSource(body.graph);
  for (let version = from + 1; version <= to; version++)
    for (const graph of graphsWithin(body.graph)) {
      const place: Place = {
        graph,
        fresh: (base) => names.fresh(base),
        constants: body.constants,
        target: to,
        typeOf,
      };
      for (const node of [...graph.nodes]) if (node.domain === '') ruleFor(node.op, version)?.(node, place);
    }
};

const unknownOperators = (bodies: readonly Body[]): Node[] =>
  bodies
    .flatMap(({ graph }) => [...graphsWithin(graph)])
    .flatMap((graph) => graph.nodes)
    .filter((node) => node.domain === '' && !upgradableOperators.has(node.op));

/**
 * Moves a program to at least this version of the standard operator set, in place, keeping what it computes; nothing
 * happens when it is there already. On an error the program is left half rewritten: work on a copy.
 * @throws CompressError 'unsupported' naming operator and node for what has no equivalent, and for operator sets
 * before 7.
 */
export const upgradeOpset = (program: Program, minimum: number): void => {
  const from = opsetOf(program.opsets);
  const bodies: Body[] = [
    { graph: program.graph, constants: 'initializers' },
    ...program.functions.map((definition): Body => ({ graph: definition.body, constants: 'nodes' })),
  ];
  if (from < minimum) {
    if (from < oldestOpset || minimum > newestOpset)
      throw new CompressError({
        code: 'unsupported',
        message: `a model of operator set ${from} cannot be moved to ${minimum}: from ${oldestOpset} to ${newestOpset} is known`,
        hint: 'Export the model with a newer opset.',
      });
    const unknown = unknownOperators(bodies);
    if (unknown.length > 0)
      throw new CompressErrors(
        unknown.map(
          (node) =>
            new CompressError({
              code: 'unsupported',
              message: `${node.op} is no operator of the standard set that can be moved from version ${from} to ${minimum}`,
              where: { node: nodeLabel(node) },
            }),
        ),
      );
    raiseIrVersion(program, irVersionFor(minimum));
    const { facts } = inferFacts(program);
    const typeOf: Place['typeOf'] = (value) => facts.get(value)?.type ?? value.type;
    for (const body of bodies) upgradeBody(body, typeOf, from, minimum);
    program.opsets.set('', minimum);
    for (const [index, definition] of program.functions.entries())
      if (definition.opsets.has(''))
        program.functions[index] = { ...definition, opsets: new Map(definition.opsets).set('', minimum) };
  }
};
