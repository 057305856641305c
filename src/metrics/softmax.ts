/** What the softmax of each row says: arrays of one entry a row. */
export interface RowScores {
  /** Class of the highest score; the first one of equal ones. */
  readonly top: Int32Array;
  /** −log p(label) in nats. */
  readonly loss?: Float64Array;
  /** Number of classes with a higher score than the label, or an equal one and a lower number: 0 is right. */
  readonly rank?: Int32Array;
  /** Σ p_ref log(p_ref / p) in nats. */
  readonly divergence?: Float64Array;
  /** Class of the highest reference score. */
  readonly referenceTop?: Int32Array;
}

export interface RowScoreOptions {
  /** Scores (rows, classes). */
  readonly logits: Float32Array;
  readonly classes: number;
  /** True class of each row. */
  readonly labels?: Int32Array;
  /** Reference scores (rows, classes). */
  readonly reference?: Float32Array;
}

/** log Σ exp(x) of `classes` numbers from `begin`, in double precision. */
const logSumExp = (x: Float32Array, begin: number, classes: number, highest: number): number => {
  let sum = 0;
  for (let index = begin; index < begin + classes; index++) sum += Math.exp(x[index]! - highest);
  return highest + Math.log(sum);
};

const highestAt = (x: Float32Array, begin: number, classes: number): number => {
  let at = 0;
  for (let index = 1; index < classes; index++) if (x[begin + index]! > x[begin + at]!) at = index;
  return at;
};

/** Loss, rank and divergence of every row, in double precision. */
export const scoreRows = (options: RowScoreOptions): RowScores => {
  const { logits, classes, labels, reference } = options;
  const rows = classes === 0 ? 0 : logits.length / classes;
  const top = new Int32Array(rows);
  const loss = labels && new Float64Array(rows);
  const rank = labels && new Int32Array(rows);
  const divergence = reference && new Float64Array(rows);
  const referenceTop = reference && new Int32Array(rows);
  for (let row = 0; row < rows; row++) {
    const begin = row * classes;
    top[row] = highestAt(logits, begin, classes);
    const log = logSumExp(logits, begin, classes, logits[begin + top[row]!]!);
    const label = labels?.[row];
    if (label !== undefined && loss && rank) {
      const score = logits[begin + label]!;
      loss[row] = log - score;
      let above = 0;
      for (let index = 0; index < classes; index++) {
        const other = logits[begin + index]!;
        if (other > score || (other === score && index < label)) above++;
      }
      rank[row] = above;
    }
    if (reference && divergence && referenceTop) {
      referenceTop[row] = highestAt(reference, begin, classes);
      const referenceLog = logSumExp(reference, begin, classes, reference[begin + referenceTop[row]!]!);
      let sum = 0;
      for (let index = begin; index < begin + classes; index++) {
        const logP = reference[index]! - referenceLog;
        const p = Math.exp(logP);
        if (p > 0) sum += p * (logP - (logits[index]! - log));
      }
      divergence[row] = sum;
    }
  }
  return {
    top,
    ...(loss ? { loss } : {}),
    ...(rank ? { rank } : {}),
    ...(divergence ? { divergence } : {}),
    ...(referenceTop ? { referenceTop } : {}),
  };
};
