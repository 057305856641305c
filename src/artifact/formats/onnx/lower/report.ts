import type { Finding } from '../../../../recipe/events.ts';

/** What a packed weight has become in the file. */
export type LoweredForm =
  | 'MatMulNBits'
  | 'MatMulBnb4'
  | 'GatherBlockQuantized'
  | 'DequantizeLinear'
  | 'GatherElements'
  | 'QMoE'
  | 'dequantized';

/** One packed weight as one of its forms; a weight that is read in two ways has two entries. */
export interface LoweredWeight {
  /** Name of the constant before. */
  readonly weight: string;
  readonly form: LoweredForm;
  /** Bits a code takes in the file; 32 or 16 for 'dequantized'. */
  readonly bits: number;
  /** Elements that share a scale in the file; 0 for 'dequantized'. */
  readonly blockSize: number;
}

export interface LoweringReport {
  readonly weights: readonly LoweredWeight[];
  readonly findings: readonly Finding[];
}
