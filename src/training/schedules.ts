/** A learning rate over time, as a multiple of the greatest: `share` runs from 0 (after warm-up) to 1 (the end). */
type Decay = (share: number) => number;

/** Where the cosine and the linear schedule end: so low that rounded weights come to rest. */
const floor = 0.01;

const decays = {
  constant: () => 1,
  linear: (share) => 1 - (1 - floor) * share,
  cosine: (share) => floor + ((1 - floor) * (1 + Math.cos(Math.PI * share))) / 2,
} as const satisfies Readonly<Record<string, Decay>>;

export type ScheduleName = keyof typeof decays;

export const scheduleNames = Object.keys(decays) as readonly ScheduleName[];

export interface Schedule {
  readonly name: ScheduleName;
  /** Greatest learning rate. */
  readonly peak: number;
  /** Steps of linear growth from peak / (warmup + 1). */
  readonly warmup: number;
  readonly steps: number;
}

/** Learning rate of step `step` (from 1). */
export const learningRateAt = ({ name, peak, warmup, steps }: Schedule, step: number): number => {
  if (step <= warmup) return (peak * step) / (warmup + 1);
  return peak * decays[name]((step - warmup - 1) / Math.max(1, steps - warmup - 1));
};
