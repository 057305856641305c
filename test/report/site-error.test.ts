import { describe, expect, test } from 'vitest';
import { siteError } from '../../src/report/site-error.ts';

describe('how much a site lost', () => {
  test('is its predicted loss rather than its error', () => {
    expect(siteError({ output_error: 0.1, predicted_loss: 0.02, scheme: 'int4' })).toEqual({
      name: 'predicted loss',
      value: 0.02,
      adds: true,
    });
    expect(siteError({ weight_error: 0.2, output_error: 0.1 })).toMatchObject({ name: 'output error', adds: false });
  });

  test('is the loss of the chosen format where several were looked at, else of the worst', () => {
    const losses = { 'loss int4 g32': 0.3, 'loss int8 g32': 0.001 };
    expect(siteError({ ...losses, chosen: 'int8 g32' })?.value).toBe(0.001);
    expect(siteError(losses)).toEqual({ name: 'loss of the worst format', value: 0.3, adds: true });
  });

  test('is not made up', () => {
    expect(siteError({ form: 'ConvInteger', rows: 3 })).toBeUndefined();
    expect(siteError({ output_error: null })).toBeUndefined();
  });
});
