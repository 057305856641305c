import { describe, expect, it } from 'vitest';
import {
  addDims,
  canonicalDim,
  ceilDivideDims,
  divideDimsExactly,
  floorDivideDims,
  isNonNegativeDim,
  maxDims,
  minDims,
  multiplyDims,
  productOfDims,
  sameDim,
  sameShape,
  subtractDims,
} from '../../src/ir/dimension.ts';

describe('dimension arithmetic', () => {
  it('gives one text to equal polynomials', () => {
    expect(canonicalDim('past_sequence_length + 1')).toBe('past_sequence_length+1');
    expect(canonicalDim('1 + 2*s - s*3 + b*s')).toBe('b*s-s+1');
    expect(canonicalDim('(a+b)*(a-b)')).toBe('a*a-b*b');
    expect(canonicalDim('4*2-8')).toBe(0);
  });

  it('takes a text that is no expression as one symbol', () => {
    expect(canonicalDim('batch size')).toBe("'batch size'");
    expect(addDims('batch size', 1)).toBe("'batch size'+1");
    expect(canonicalDim("'batch size'+1")).toBe("'batch size'+1");
    expect(canonicalDim('')).toBe("''");
    expect(canonicalDim('n//0')).toBe("'n//0'");
    expect(canonicalDim('Unsqueeze/model/3_dim_1')).toBe("'Unsqueeze/model/3_dim_1'");
    expect(canonicalDim('s0//2')).toBe('floor(s0/2)');
    expect(canonicalDim('floor(s0/2)*2')).toBe('2*floor(s0/2)');
  });

  it('adds, subtracts and multiplies', () => {
    expect(addDims('sequence', 'past')).toBe('past+sequence');
    expect(subtractDims('past+sequence', 'past')).toBe('sequence');
    expect(multiplyDims('batch', 'sequence+1')).toBe('batch*sequence+batch');
    expect(productOfDims(['batch', 3, 4])).toBe('12*batch');
    expect(productOfDims([null, 0])).toBe(0);
    expect(productOfDims([null, 2])).toBeNull();
  });

  it('divides exactly where the divisor is a factor', () => {
    expect(divideDimsExactly('batch*sequence*64', 'batch*sequence')).toBe(64);
    expect(divideDimsExactly('12*batch*sequence', 4)).toBe('3*batch*sequence');
    expect(divideDimsExactly('batch*sequence+batch', 'sequence+1')).toBe('batch');
    expect(divideDimsExactly('batch', 'sequence')).toBeNull();
    expect(divideDimsExactly('batch', 2)).toBeNull();
  });

  it('takes whole parts out of a floor and nests floors into one', () => {
    expect(floorDivideDims('2*n+3', 2)).toBe('n+1');
    expect(floorDivideDims('n+5', 2)).toBe('floor((n+1)/2)+2');
    expect(floorDivideDims('2*n+1', 4)).toBe('floor(n/2)');
    expect(floorDivideDims(addDims(floorDivideDims('n-1', 2), 0), 2)).toBe(floorDivideDims('n-1', 4));
    expect(ceilDivideDims('2*n', 2)).toBe('n');
    expect(ceilDivideDims(7, 2)).toBe(4);
    expect(floorDivideDims('n', 0)).toBeNull();
  });

  it('agrees with numbers wherever symbols are replaced by numbers', () => {
    const at = (dim: unknown, n: number): number => {
      const text = String(dim).replaceAll(/\bn\b/g, `(${n})`).replaceAll('floor', 'Math.floor');
      return Function(`return ${text}`)() as number;
    };
    for (const [a, b] of [
      [1, 2],
      [3, 2],
      [7, 4],
      [-5, 4],
      [6, 9],
    ] as const)
      for (let n = 0; n < 12; n++) {
        const inner = floorDivideDims(addDims(multiplyDims('n', b), a), 2);
        expect(at(inner, n)).toBe(Math.floor((n * b + a) / 2));
        expect(at(floorDivideDims(addDims(inner, a), 3), n)).toBe(Math.floor((Math.floor((n * b + a) / 2) + a) / 3));
        expect(at(ceilDivideDims(inner, 3), n)).toBe(Math.ceil(Math.floor((n * b + a) / 2) / 3) + 0);
      }
  });

  it('decides comparisons only where they hold for all symbols ≥ 0', () => {
    expect(sameDim('a+b', 'b+a')).toBe(true);
    expect(sameDim('a', 'a+1')).toBe(false);
    expect(sameDim('a', 'b')).toBeUndefined();
    expect(sameDim(null, 3)).toBeUndefined();
    expect(maxDims('a', 'a+2')).toBe('a+2');
    expect(maxDims('b', 'a')).toBe('max(a,b)');
    expect(canonicalDim('max(b,a)+1')).toBe('max(a,b)+1');
    expect(minDims('a', 0)).toBe(0);
    expect(isNonNegativeDim('a*b+1')).toBe(true);
    expect(isNonNegativeDim('-a-1')).toBe(false);
    expect(isNonNegativeDim('a-1')).toBeUndefined();
    expect(sameShape(['a', 2], ['a', 2])).toBe(true);
    expect(sameShape(['a', 2], ['b', 2])).toBe(false);
  });
});
