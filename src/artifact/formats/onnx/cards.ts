import { join } from 'node:path';
import { z } from 'zod';
import { cloneProgram } from '../../../ir/clone.ts';
import type { Program } from '../../../ir/graph.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { FormatCard, PlannedWeight } from '../format.ts';
import { weightFacts } from '../weight-facts.ts';
import { liftDequantized } from './lift/dequantize.ts';
import { liftBlockOperators } from './lift/operators.ts';
import { compactGraph, compactOption } from './lower/compact.ts';
import { lowerExperts } from './lower/experts.ts';
import { lowerToMatMulNBits } from './lower/matmulnbits.ts';
import { lowerToQdq } from './lower/qdq.ts';
import type { LoweringReport } from './lower/report.ts';
import { lowerForTarget } from './target/lower.ts';
import { newestTarget, type Target } from './target/target.ts';
import { type ExternalData, writeOnnx } from './write.ts';

const fileName = 'model.onnx';

const externalData = z
  .enum(['auto', 'never', 'always'])
  .default('auto')
  .describe('Whether weights go to model.onnx.data: auto (only beyond the 2 GiB of a protobuf file), never, always');

const externalDataOf = (choice: z.output<typeof externalData>): ExternalData =>
  choice === 'always' ? { thresholdBytes: 1024 } : choice;

/** What every form of ONNX file can be asked. */
const commonOptions = { external_data: externalData, compact: compactOption };

const standardOptions = z.strictObject(commonOptions);

const blockOptions = z.strictObject({
  ...commonOptions,
  accuracy_level: z
    .union([z.literal(0), z.literal(1), z.literal(2), z.literal(3), z.literal(4)])
    .default(0)
    .describe('Least precision of the products: 0 as the inputs, 1 float32, 2 float16, 3 bfloat16, 4 int8'),
  experts: z
    .enum(['separate', 'qmoe'])
    .default('separate')
    .describe(
      'Quantized experts of a mixture: a product each (separate), or one QMoE operator a layer where it can carry them',
    ),
});

/** Weights that block-wise operators cannot carry for their operator or their bits. */
const foreseeBlocks = (weights: readonly PlannedWeight[], target: Target | undefined): Finding[] => {
  const { name, productBits, lookupBits } = target ?? newestTarget;
  const stored = (bits: number): number => (bits === 3 ? 4 : bits);
  return weights.flatMap(({ site, op, bits }): Finding[] => {
    if (op !== 'MatMul' && op !== 'Gemm' && op !== 'Gather')
      return [{ kind: 'fact', site, text: `no block-wise operator reads a weight of ${op}: DequantizeLinear does` }];
    if ((op === 'Gather' ? lookupBits : productBits).includes(stored(bits))) return [];
    return [
      {
        kind: 'fact',
        site,
        text: `${name} has no block-wise operator of ${bits} bits for ${op}: another form is written`,
      },
    ];
  });
};

interface CardFacts<Options> {
  readonly name: string;
  readonly summary: string;
  readonly options: z.ZodType<Options>;
  lower(program: Program, options: Options, target: Target): LoweringReport;
  readonly foresee?: FormatCard['foresee'];
}

const onnxCard = <Options extends z.output<typeof standardOptions>>(
  facts: CardFacts<Options>,
): FormatCard<Options> => ({
  name: facts.name,
  summary: facts.summary,
  options: facts.options,
  layout: undefined,
  ...(facts.foresee ? { foresee: facts.foresee } : {}),
  async write(model, directory, options, context) {
    const program = cloneProgram(model.program);
    const lowering = lowerForTarget(program, context.target, (lowered, target) =>
      facts.lower(lowered, options, target),
    );
    if (options.compact) compactGraph(program);
    const files = await writeOnnx(program, join(directory, fileName), {
      ...context,
      externalData: externalDataOf(options.external_data),
    });
    return { files, entry: fileName, weights: weightFacts(model.program, lowering), findings: lowering.findings };
  },
});

export const onnxFormat = onnxCard({
  name: 'onnx',
  summary: 'ONNX with standard operators; quantized weights are read through DequantizeLinear',
  options: standardOptions,
  lower: lowerToQdq,
});

export const onnxQdqFormat = onnxCard({
  name: 'onnx-qdq',
  summary: 'ONNX with DequantizeLinear for every quantized weight, block-wise operators of the opened file included',
  options: standardOptions,
  lower: (program) => {
    liftBlockOperators(program);
    return lowerToQdq(program);
  },
});

export const onnxMatMulNBitsFormat = onnxCard({
  name: 'onnx-matmulnbits',
  summary: "ONNX with onnxruntime's block-wise operators (MatMulNBits, GatherBlockQuantized) for quantized weights",
  options: blockOptions,
  foresee: foreseeBlocks,
  lower: (program, options, target) => {
    liftDequantized(program);
    const experts = options.experts === 'qmoe' ? lowerExperts(program, target.expertBits) : undefined;
    const rest = lowerToMatMulNBits(program, { accuracyLevel: options.accuracy_level, target });
    return experts
      ? { weights: [...experts.weights, ...rest.weights], findings: [...experts.findings, ...rest.findings] }
      : rest;
  },
});
