/**
 * For each row of scores (rows, classes) the number of classes above its label: with a higher score, or an equal one
 * and a lower number. 0 is a hit.
 */
export const labelRanks = (scores: Float32Array, labels: Int32Array, classes: number): Int32Array =>
  labels.map((label, row) => {
    const begin = row * classes;
    const own = scores[begin + label] ?? Number.NaN;
    let above = 0;
    for (let index = 0; index < classes; index++) {
      const other = scores[begin + index]!;
      if (other > own || (other === own && index < label)) above++;
    }
    return above;
  });
