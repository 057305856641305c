import type { TeacherRows } from '../teacher.ts';

/** Stands for the logarithm of the chance zero: half precision holds it, and its exponential is zero. */
const least = -60000;

/**
 * The `kept` greatest chances of each row of scores (rows, width) under softmax(score / temperature), as logarithms, and
 * the logarithm of all others together. Equal scores: the lower class first.
 */
export const greatestChances = (
  scores: Float32Array,
  width: number,
  kept: number,
  temperature: number,
): TeacherRows => {
  const rows = scores.length / width;
  const classes = new Int32Array(rows * kept);
  const data = new Float32Array(rows * (kept + 1));
  for (let row = 0; row < rows; row++) {
    const own = scores.subarray(row * width, (row + 1) * width);
    const order = greatestOf(own, kept);
    const highest = own[order[0]!]!;
    let total = 0;
    for (const score of own) total += Math.exp((score - highest) / temperature);
    let rest = total;
    order.forEach((index, place) => {
      classes[row * kept + place] = index;
      const chance = Math.exp((own[index]! - highest) / temperature);
      rest -= chance;
      data[row * (kept + 1) + place] = Math.max(least, (own[index]! - highest) / temperature - Math.log(total));
    });
    data[row * (kept + 1) + kept] = rest / total > 1e-12 ? Math.log(rest / total) : least;
  }
  return { data, width: kept + 1, shape: [rows, kept + 1], classes };
};

/** Places of the greatest numbers, greatest first. */
const greatestOf = (numbers: Float32Array, count: number): number[] => {
  if (count * 8 > numbers.length)
    return [...numbers.keys()].sort((a, b) => numbers[b]! - numbers[a]! || a - b).slice(0, count);
  const threshold = Float32Array.from(numbers).sort()[numbers.length - count]!;
  const found: number[] = [];
  for (let index = 0; index < numbers.length; index++) if (numbers[index]! > threshold) found.push(index);
  for (let index = 0; index < numbers.length && found.length < count; index++)
    if (numbers[index] === threshold) found.push(index);
  return found.sort((a, b) => numbers[b]! - numbers[a]! || a - b);
};
