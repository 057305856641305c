import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { packSite, readSiteMatrix } from '../../../src/analysis/site-weights.ts';
import { findSites } from '../../../src/analysis/sites.ts';
import { quantizedWeights } from '../../../src/artifact/describe/quantized.ts';
import { lowerExperts } from '../../../src/artifact/formats/onnx/lower/experts.ts';
import { openModel } from '../../../src/artifact/open.ts';
import { onnxruntimeEngine } from '../../../src/execution/onnxruntime.ts';
import { withSession } from '../../../src/execution/session.ts';
import { cloneProgram } from '../../../src/ir/clone.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { packRows, quantizeRtn } from '../../../src/kernels/index.ts';
import { Random } from '../../../src/random.ts';

const reference = (name: string): string => join(import.meta.dirname, '../../../fixtures/reference', name);

interface Packing {
  readonly bits: 2 | 3 | 4 | 8;
  readonly groupSize: number | 'row';
  readonly scheme?: 'asymmetric' | 'symmetric';
}

/** A mixture whose experts are rounded. The width of experts is 24, that of the model 16. */
const mixture = async (name: string, { bits, groupSize, scheme = 'asymmetric' }: Packing): Promise<Program> => {
  const { program } = await openModel(reference(name));
  const signal = new AbortController().signal;
  for (const site of findSites(program)) {
    if (!site.role?.startsWith('expert-')) continue;
    const { rows, columns } = site;
    const size = groupSize === 'row' ? columns : groupSize;
    const common = { rows, columns, groupSize: size, bits };
    const stored = bits === 3 ? 4 : bits;
    const made = await quantizeRtn({ ...common, weight: readSiteMatrix(site), scheme, scaleType: 'float32', signal });
    const codes = packRows({ codes: made.codes, rows, columns, bits: stored });
    packSite(site, { groupSize: size, bits, storedBits: stored, method: 'rtn', ...made, codes });
  }
  return program;
};

const logitsOf = (program: Program): Promise<Float32Array> =>
  withSession(onnxruntimeEngine, program, {}, async (session) => {
    const random = new Random(7, 'tokens');
    const ids = BigInt64Array.from({ length: 24 }, () => BigInt(random.integer(48)));
    const feeds = new Map(
      session.inputNames.map((name) => {
        const data =
          name === 'input_ids'
            ? ids
            : name === 'attention_mask'
              ? new BigInt64Array(24).fill(1n)
              : ids.map((_, index) => BigInt(index));
        return [name, { dtype: 'int64', shape: [1, 24], data }] as const;
      }),
    );
    return (await session.run(feeds)).get('logits')!.data as Float32Array;
  });

const operators = ({ graph }: Program): string[] => graph.nodes.map(({ op }) => op);

const everyWidth = [2, 4, 8];

describe('quantized experts as one operator', () => {
  test.each([
    { bits: 2, groupSize: 'row' },
    { bits: 4, groupSize: 'row' },
    { bits: 4, groupSize: 'row', scheme: 'symmetric' },
    { bits: 3, groupSize: 'row', scheme: 'symmetric' },
    { bits: 8, groupSize: 'row' },
  ] as const)('%j: computes what the separate products compute', async (packing) => {
    const program = await mixture('mixtral', packing);
    const lowered = cloneProgram(program);
    const { weights, findings } = lowerExperts(lowered, everyWidth);
    expect(findings).toEqual([]);
    expect(weights).toHaveLength(2 * 4 * 3);
    expect(operators(lowered).filter((op) => op === 'QMoE')).toHaveLength(2);
    expect(operators(lowered)).not.toContain('NonZero');
    const stored = packing.bits === 3 ? 4 : packing.bits;
    expect(quantizedWeights(lowered).map(({ weight }) => [weight.bits, weight.elements])).toEqual([
      ...[
        [stored, 4 * 48 * 16],
        [stored, 4 * 16 * 24],
      ],
      ...[
        [stored, 4 * 48 * 16],
        [stored, 4 * 16 * 24],
      ],
    ]);
    const [before, after] = [await logitsOf(program), await logitsOf(lowered)];
    for (const [index, value] of before.entries()) expect(after[index]).toBeCloseTo(value, 4);
    expect(Math.max(...before) - Math.min(...before)).toBeGreaterThan(0.05);
  });

  test('groups that do not divide the widths keep a product for each expert', async () => {
    const program = await mixture('mixtral', { bits: 4, groupSize: 16 });
    const { weights, findings } = lowerExperts(program, everyWidth);
    expect(weights).toEqual([]);
    expect(findings[0]).toEqual({
      kind: 'fallback',
      text: 'block 0 keeps a product for each expert: its groups are not one power of two that divides the widths',
    });
  });

  test('gates that are not normalised, weights in floating point, and widths that a runtime lacks are told', async () => {
    const reasonFor = (program: Program, widths = everyWidth): string =>
      lowerExperts(program, widths).findings[0]!.text;
    expect(reasonFor((await openModel(reference('mixtral'))).program)).toContain(
      'a weight of an expert is not quantized',
    );
    expect(reasonFor(await mixture('qwen2-moe', { bits: 4, groupSize: 'row' }))).toContain('not divided by their sum');
    expect(reasonFor(await mixture('mixtral', { bits: 2, groupSize: 'row' }), [4, 8])).toContain(
      'no operator of 2 bits',
    );
  });
});
