/** Tables instead of evenly spaced numbers: of each row its own (kmeans), or one for all (nf4). */
export const codebooks = ['kmeans', 'nf4'] as const;

/** Rounding of weights to the entries of tables, every field decided. */
export interface CodebookOptions {
  readonly codebook: (typeof codebooks)[number];
  /** Tables have 2^bits entries; nf4 has 16. */
  readonly bits: 2 | 3 | 4;
  readonly targets: readonly string[];
  readonly ignore: readonly string[];
}
