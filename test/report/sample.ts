import type { RunReport } from '../../src/report/schema.ts';
import { reportSchema } from '../../src/report/schema.ts';

const roles = ['self_attn.q_proj', 'self_attn.v_proj', 'mlp.down_proj'];
const layers = [0, 1, 2];

const sites = layers.flatMap((layer) => roles.map((role) => `model.layers.${layer}.${role}`));

/** A report with something in every part; `changes` replace top-level keys. */
export const sampleReport = (changes: Partial<RunReport> = {}): RunReport =>
  reportSchema.parse({
    schemaVersion: 1,
    outcome: 'gate-failed',
    version: '0.1.0',
    recipe: 'recipes/sample.yaml',
    recipeText: 'model: m\nstages:\n  - quantize: { weights: { bits: 4 } } # </script><b>"&\n',
    seed: 3,
    model: {
      name: 'sample <model>',
      family: 'llama',
      content: {
        parameters: 1_234_567,
        parts: [
          { part: 'embedding', tensors: 1, elements: 1000, bytes: 4000 },
          { part: 'mlp', tensors: 9, elements: 9000, bytes: 36_000 },
        ],
      },
    },
    data: [{ use: 'evaluation', name: 'stories', description: 'text:stories.txt', samples: 19 }],
    warnings: ['there is no calibration data'],
    stages: [
      {
        stage: 'quantize',
        findings: [{ kind: 'fallback', text: 'more damping', site: sites[0] }],
        sites: sites.map((site, index) => ({
          site,
          facts: { scheme: 'int4 g32', predicted_loss: (index + 1) / 1000, output_error: 0.01 * (index + 1) },
        })),
      },
      {
        stage: 'distill',
        findings: [],
        sites: [],
        training: {
          steps: Array.from({ length: 50 }, (_, index) => ({
            step: index + 1,
            loss: 2 / (index + 1),
            parts: { kl: 2 / (index + 1) },
            learningRate: 1e-3,
            gradientNorm: 1,
            seen: index * 10,
          })),
          judged: [
            { step: 25, value: 0.4 },
            { step: 50, value: 0.3 },
          ],
        },
      },
    ],
    artifacts: [
      {
        format: 'onnx-matmulnbits',
        directory: '.',
        bytes: 9000,
        findings: [],
        content: {
          parameters: 1_234_567,
          parts: [
            { part: 'embedding', tensors: 1, elements: 1000, bytes: 4000 },
            { part: 'mlp', tensors: 27, elements: 9000, bytes: 5000 },
          ],
        },
        weights: [
          ...sites.map((site) => ({
            name: `${site}.weight`,
            shape: [64, 64],
            bits: 4,
            groupSize: 32,
            method: 'gptq',
            form: 'MatMulNBits',
          })),
          {
            name: 'model.embed_tokens.weight',
            shape: [105, 64],
            bits: 32,
            groupSize: 0,
            method: 'none',
            form: 'plain',
          },
        ],
      },
    ],
    metrics: {
      before: [
        { metric: 'perplexity', dataset: 'stories', value: 5.6, interval: 0.1, count: 100, better: 'lower' },
        { metric: 'size', dataset: '', value: 40_000, unit: 'bytes', count: 1, better: 'lower' },
      ],
      after: [
        {
          format: 'onnx-matmulnbits',
          result: { metric: 'perplexity', dataset: 'stories', value: 5.9, interval: 0.1, count: 100, better: 'lower' },
        },
        {
          format: 'onnx-matmulnbits',
          result: { metric: 'size', dataset: '', value: 9000, unit: 'bytes', count: 1, better: 'lower' },
        },
      ],
    },
    gates: [
      {
        gate: 'perplexity increase 2%',
        metric: 'perplexity',
        dataset: 'stories',
        format: 'onnx-matmulnbits',
        passed: false,
        found: 5.9,
        limit: 5.712,
        where: { file: 'recipes/sample.yaml', line: 9, column: 5 },
      },
    ],
    course: {
      durationMs: 61_000,
      pausedMs: 5000,
      peakMemoryBytes: 300e6,
      maxMemoryBytes: 2 ** 31,
      steps: [
        { name: 'measure before', kind: 'before', state: 'done', startMs: 0, endMs: 1000 },
        { name: 'quantize', kind: 'stage', state: 'cached', startMs: 1000, endMs: 1000 },
        { name: 'distill', kind: 'stage', state: 'done', startMs: 1000, endMs: 60_000 },
      ],
      memory: [
        { atMs: 0, bytes: 200e6 },
        { atMs: 30_000, bytes: 300e6 },
      ],
    },
    ...changes,
  });
