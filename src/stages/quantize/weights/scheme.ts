export type ClipChoice = 'none' | 'mse' | 'hessian' | 'auto';

/** How the integers of a weight are laid out; every field decided. */
export interface WeightScheme {
  /** Bits a code may use; 3-bit codes are stored in 4. */
  readonly bits: 2 | 3 | 4 | 8;
  /** Columns that share a scale and a zero point; 'row' for one of each per output row. */
  readonly groupSize: number | 'row';
  /**
   * 'asymmetric': integer zero point per group. 'symmetric': the whole code range with the scale absmax/-2^(bits-1),
   * which may be negative (least error). 'symmetric-narrow': ±(2^(bits-1)-1) with a positive scale, as int8 kernels
   * of 8-bit activations want it.
   */
  readonly grid: 'asymmetric' | 'symmetric' | 'symmetric-narrow';
  /**
   * Search of the range per group: 'none' takes the extremes, 'mse' the shrunken range with the least error of
   * weights, 'hessian' the same with each column weighted by its input's second moment, 'auto' for each row whichever of
   * these gives the least error of the output. The last two need calibration data.
   */
  readonly clip: ClipChoice;
}

/**
 * A scheme as it is asked for. Clip 'usual': the range search that goes best with the method: 'auto' with those that
 * know the inputs, 'none' with rounding to nearest. Bits 'auto': what an allocation has left on the site's node.
 */
export type RequestedScheme = Omit<WeightScheme, 'clip' | 'bits'> & {
  readonly clip: ClipChoice | 'usual';
  readonly bits: WeightScheme['bits'] | 'auto';
};

/** Widths that a code may have. */
export const codeWidths = [2, 3, 4, 8] as const satisfies readonly WeightScheme['bits'][];

/** True for range searches that look at the second moments of inputs. */
export const clipNeedsGram = (clip: ClipChoice): boolean => clip === 'hessian' || clip === 'auto';

export const storedBitsOf = (bits: WeightScheme['bits']): 2 | 4 | 8 => (bits === 3 ? 4 : bits);

/** Columns in a group for a matrix of this width: a group is never wider than the row. */
export const groupSizeFor = (scheme: WeightScheme, columns: number): number =>
  scheme.groupSize === 'row' ? columns : Math.min(scheme.groupSize, columns);

/** 'int4 g32 asymmetric clip-mse', as plans and reports call it; the usual range search is not named. */
export const describeScheme = (scheme: RequestedScheme): string => {
  const group = scheme.groupSize === 'row' ? 'row' : `g${scheme.groupSize}`;
  const clip = scheme.clip === 'none' || scheme.clip === 'usual' ? '' : ` clip-${scheme.clip}`;
  return `int${scheme.bits} ${group} ${scheme.grid}${clip}`;
};

/** Bytes of codes, scales (4 each) and packed zero points of a matrix under a scheme. */
export const packedBytes = (scheme: WeightScheme, rows: number, columns: number): number => {
  const stored = storedBitsOf(scheme.bits);
  const groups = Math.ceil(columns / groupSizeFor(scheme, columns));
  const zeroPoints = scheme.grid === 'asymmetric' ? Math.ceil((groups * stored) / 8) : 0;
  return rows * (Math.ceil((columns * stored) / 8) + groups * 4 + zeroPoints);
};
