import { findSites } from '../../../analysis/sites.ts';
import { upgradeOpset } from '../../../artifact/formats/onnx/lower/opset.ts';
import { cloneProgram } from '../../../ir/clone.ts';
import { type DataType, dataTypes } from '../../../ir/data-type.ts';
import { dropInitializerInputs } from '../../../ir/edit/interface.ts';
import { nameSource } from '../../../ir/edit/names.ts';
import { removeDead } from '../../../ir/edit/remove-dead.ts';
import { replaceAllUses } from '../../../ir/edit/replace.ts';
import type { Node, Program, Value } from '../../../ir/graph.ts';
import { inferShapes } from '../../../ir/inference/index.ts';
import type { Model } from '../../../ir/model.ts';
import { constantOf, graphsWithin, nodesWithin } from '../../../ir/walk.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { StageResult } from '../../stage.ts';
import { decideKept } from './keep.ts';
import { findConstantLosses } from './loss.ts';
import { staysFloat32 } from './operators.ts';
import type { PrecisionOptions } from './options.ts';
import { Retyper } from './retype.ts';
import { storeWeights } from './store-weights.ts';

/** The operator set that Cast knows bfloat16 from. */
const bfloat16Opset = 13;

/** True when the element type of something that a node reads or makes is not known. */
const touchesUnknown = (node: Node): boolean =>
  [...node.inputs, ...node.outputs].some(
    (value) => value && !constantOf(value) && !(value.type?.kind === 'tensor' && value.type.dtype !== undefined),
  );

/** Nodes that do not change their type, each with the reason. */
const keptNodes = (program: Program, options: PrecisionOptions): { kept: Map<Node, string>; findings: Finding[] } => {
  const decision = decideKept(program, options.keep, options.precision === 'float32' ? 'named' : 'all');
  const kept = new Map(decision.kept);
  const findings = [...decision.findings];
  for (const node of nodesWithin(program.graph))
    if (!kept.has(node) && touchesUnknown(node)) {
      const label = node.name || (node.outputs[0]?.name ?? node.op);
      kept.set(node, 'element types around it are not known');
      findings.push({
        kind: 'warning',
        text: `kept as it is: the element types around ${node.op} are not known`,
        site: label,
      });
    }
  if (options.precision !== 'float32') {
    const losses = findConstantLosses(program, findSites(program), options.precision, (node) => kept.has(node));
    for (const [node, reason] of losses.kept) kept.set(node, reason);
    findings.push(...losses.findings);
  }
  return { kept, findings };
};

/** Takes out Casts to the type that their input has already. */
const removeIdleCasts = (program: Program, dtype: DataType): void => {
  for (const graph of graphsWithin(program.graph))
    for (const node of [...graph.nodes]) {
      const [input] = node.inputs;
      const [output] = node.outputs;
      if (node.op !== 'Cast' || node.domain !== '' || !input || !output) continue;
      if (node.int('to') !== dataTypes[dtype].onnx || input.type?.kind !== 'tensor' || input.type.dtype !== dtype)
        continue;
      replaceAllUses(output, input, { graph });
      graph.remove(node);
    }
};

/** Converted constants take the names of those that nothing reads any more. */
const restoreNames = (program: Program, converted: ReadonlyMap<Value, Value>): void => {
  const present = new Set<Value>();
  for (const graph of graphsWithin(program.graph)) {
    for (const value of graph.initializers) present.add(value);
    for (const node of graph.nodes) for (const value of node.outputs) if (value) present.add(value);
  }
  for (const [before, after] of converted) if (!present.has(before)) after.name = before.name;
};

/** True when a node reads or makes values of one of these types; constants are not counted. */
const worksIn = (node: Node, types: ReadonlySet<DataType>): boolean =>
  !constantOf(node.outputs[0]) &&
  [...node.inputs, ...node.outputs].some(
    (value) => value?.type?.kind === 'tensor' && value.type.dtype !== undefined && types.has(value.type.dtype),
  );

/** How many nodes stay, by reason, for the report. */
const summarise = (nodes: readonly Node[], kept: ReadonlyMap<Node, string>, options: PrecisionOptions): Finding => {
  const reasons = new Map<string, number>();
  const staying = nodes.flatMap((node) => kept.get(node) ?? []);
  for (const reason of staying) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  const list = [...reasons].map(([reason, count]) => `${count} × ${reason}`).join('; ');
  return {
    kind: 'fact',
    text: `${nodes.length - staying.length} of ${nodes.length} floating-point nodes compute in ${options.precision}${list ? `; kept: ${list}` : ''}`,
  };
};

const convertAll = (program: Program, options: PrecisionOptions): Finding[] => {
  const { kept, findings } = keptNodes(program, options);
  const sources = new Set<DataType>(options.precision === 'float32' ? ['float16', 'bfloat16'] : ['float32']);
  const retyped = [...nodesWithin(program.graph)].filter((node) => worksIn(node, sources));
  const retyper = new Retyper(nameSource(program.graph), {
    sources,
    target: options.precision,
    io: options.io,
    isKept: (node) => kept.has(node),
    keepsInput: (node, index) => options.precision !== 'float32' && staysFloat32(node, index),
  });
  const summary = summarise(retyped, kept, options);
  retyper.run(program);
  removeIdleCasts(program, options.precision);
  removeDead(program);
  restoreNames(program, retyper.converted);
  findings.unshift(summary);
  if (options.precision === 'bfloat16')
    findings.push({
      kind: 'warning',
      text: 'onnxruntime has few bfloat16 kernels for CPUs; scope: weights runs everywhere',
    });
  return findings;
};

/** A copy of a program in another floating-point type, and what was found on the way; see convertPrecision. */
export const convertProgram = (
  source: Program,
  options: PrecisionOptions,
): { readonly program: Program; readonly findings: Finding[] } => {
  const program = cloneProgram(source);
  dropInitializerInputs(program);
  inferShapes(program);
  if (options.precision === 'bfloat16') upgradeOpset(program, bfloat16Opset);
  if (options.scope === 'all' || options.precision === 'float32')
    return { program, findings: convertAll(program, options) };
  const stored = storeWeights(program, options.precision, nameSource(program.graph));
  const text = `${stored.length} weights stored in ${options.precision}, computed in float32`;
  return { program, findings: [{ kind: 'fact', text }] };
};

/**
 * A model that computes in another floating-point type, or stores its weights in one (`scope: 'weights'`). Nodes named
 * by `keep`, without a half-precision form, or delicate in it stay in float32; Casts stand where types meet, one per
 * value. Loops and unknown operators keep float32 at their border; branches of If are converted inside.
 */
export const convertPrecision = (model: Model, options: PrecisionOptions): StageResult => {
  const { program, findings } = convertProgram(model.program, options);
  return { model: { ...model, program }, findings };
};
