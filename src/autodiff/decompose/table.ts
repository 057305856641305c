import { OperatorBuilder } from '../../ir/build.ts';
import { replaceAllUses } from '../../ir/edit/replace.ts';
import type { Graph, Node, Value } from '../../ir/graph.ts';
import {
  affine,
  biasAdd,
  biasGelu,
  biasSplitGelu,
  crop,
  fastGelu,
  globalLpPool,
  imageScaler,
  lpNormalization,
  lpPool,
  meanVarianceNormalization,
  parametricSoftplus,
  scaledTanh,
} from './activations.ts';
import { standardAttention } from './attention.ts';
import type { Decomposition } from './decomposition.ts';
import { negativeLogLikelihood, softmaxCrossEntropy } from './losses.ts';
import { fusedAttention, groupQueryAttention, multiHeadAttention } from './microsoft-attention.ts';
import { embedLayerNormalization, skipLayerNormalization, skipRmsNormalization } from './normalization.ts';
import { fusedConvolution, fusedGemm, fusedMatmul, gatherBlockQuantized, matmulNBits } from './products.ts';
import { unrollRecurrent } from './recurrent.ts';
import { microsoftRotary, standardRotary } from './rotary.ts';

type DecompositionTable = Readonly<Record<string, Decomposition>>;

/** Operators of early and experimental operator sets, which no newer set knows. */
const legacy: DecompositionTable = {
  Affine: affine,
  Crop: crop,
  ImageScaler: imageScaler,
  ParametricSoftplus: parametricSoftplus,
  ScaledTanh: scaledTanh,
};

/** Operators that are differentiated through an equal graph of simpler ones. */
const standard: DecompositionTable = {
  Attention: standardAttention,
  GRU: unrollRecurrent,
  GlobalLpPool: globalLpPool,
  LSTM: unrollRecurrent,
  LpNormalization: lpNormalization,
  LpPool: lpPool,
  MeanVarianceNormalization: meanVarianceNormalization,
  NegativeLogLikelihoodLoss: negativeLogLikelihood,
  RNN: unrollRecurrent,
  RotaryEmbedding: standardRotary,
  SoftmaxCrossEntropyLoss: softmaxCrossEntropy,
};

const microsoft: DecompositionTable = {
  Attention: fusedAttention,
  BiasAdd: biasAdd,
  BiasGelu: biasGelu,
  BiasSplitGelu: biasSplitGelu,
  EmbedLayerNormalization: embedLayerNormalization,
  FastGelu: fastGelu,
  FusedConv: fusedConvolution,
  FusedGemm: fusedGemm,
  FusedMatMul: fusedMatmul,
  GatherBlockQuantized: gatherBlockQuantized,
  GroupQueryAttention: groupQueryAttention,
  MatMulNBits: matmulNBits,
  MultiHeadAttention: multiHeadAttention,
  RotaryEmbedding: microsoftRotary,
  SkipLayerNormalization: skipLayerNormalization,
  SkipSimplifiedLayerNormalization: skipRmsNormalization,
};

/** Composite operators by domain. */
export const decompositions = {
  standard: { '': standard, 'com.microsoft': microsoft },
  legacy: { '': legacy },
} as const;

/**
 * Replaces composite operators of a graph by elementary ones, which take over their metadata (block, role).
 * @returns how many were replaced. Types of the new values are not known: infer again.
 * @throws 'unsupported' for a form of an operator that cannot be taken apart.
 */
export const decomposeNodes = (graph: Graph, tables: Readonly<Record<string, DecompositionTable>>): number => {
  let count = 0;
  for (const node of [...graph.nodes]) {
    const decomposition = tables[node.domain]?.[node.op];
    if (!decomposition) continue;
    const begin = graph.nodes.indexOf(node);
    const build = new OperatorBuilder(graph, node.name || node.op, node);
    const outputs = decomposition(node, build);
    const made = new Set(graph.nodes.slice(begin, graph.nodes.indexOf(node)));
    for (const part of made) for (const [key, text] of node.metadata) part.metadata.set(key, text);
    const placed = new Map<Value, Value>();
    node.outputs.forEach((output, index) => {
      const value = outputs[index];
      if (!output || !value) return;
      build.typed(value, output.type);
      node.setOutput(index, undefined);
      const earlier = placed.get(value);
      const { producer } = value;
      if (!earlier && producer && made.has(producer)) {
        computeInstead(graph, producer, value, output);
        placed.set(value, output);
      } else replaceAllUses(output, earlier ?? value, { graph });
    });
    graph.remove(node);
    count++;
  }
  return count;
};

/** Lets what computes `value` compute `output`, so that who holds on to `output` finds it computed. */
const computeInstead = (graph: Graph, producer: Node, value: Value, output: Value): void => {
  replaceAllUses(value, output, { graph });
  producer.setOutput(producer.outputs.indexOf(value), output);
};
