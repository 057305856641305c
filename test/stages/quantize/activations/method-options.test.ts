import { describe, expect, it } from 'vitest';
import { quantizeStage } from '../../../../src/stages/quantize/index.ts';

const parse = (options: unknown) => quantizeStage.options.safeParse(options);

describe('8-bit activations', () => {
  it('round weights to nearest unless a method is named', () => {
    expect(parse({ activations: 'static' }).data).toMatchObject({ kind: 'static', method: 'rtn', smooth: 'auto' });
    expect(parse({ activations: 'dynamic', method: 'gptq' }).data).toMatchObject({ kind: 'dynamic', method: 'gptq' });
  });

  it.each([{ per_channel: false }, { reduce_range: true }])('refuse a method beside %o', (changes) => {
    const { error } = parse({ activations: { mode: 'static', ...changes }, method: 'gptq' });
    expect(error?.issues[0]).toMatchObject({
      path: ['method'],
      message: expect.stringMatching(/one scale per channel/),
    });
  });

  it('need calibration data for a method or a strength that looks at inputs, dynamic ones too', () => {
    const needs = (options: unknown): boolean => quantizeStage.needsCalibration(parse(options).data!);
    expect(needs({ activations: 'dynamic' })).toBe(false);
    expect(needs({ activations: 'dynamic', method: 'gptq' })).toBe(true);
    expect(needs({ activations: { mode: 'dynamic', smooth: 0.5 } })).toBe(true);
  });

  it('refuse strengths outside 0 to 1', () => {
    expect(parse({ activations: { mode: 'dynamic', smooth: 1.5 } }).success).toBe(false);
  });
});
