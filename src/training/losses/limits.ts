/** Logarithm that stands for the chance zero: that of the smallest normal float32, rounded up. */
export const lowestLogarithm = -87;
