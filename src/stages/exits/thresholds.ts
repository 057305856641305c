/** What is known of one sample at one exit. */
export interface ExitReading {
  /** Greatest probability, the least over the rows of the sample. */
  readonly confidence: number;
  /** Divergence from the whole model in nats, the mean over the rows. */
  readonly loss: number;
  /** Share of the rows with the same most likely class as the whole model. */
  readonly agreement: number;
}

/** Confidence and the loss that is expected at it or above. */
interface Level {
  readonly confidence: number;
  readonly loss: number;
}

/**
 * Expected loss as a falling step function of confidence: the monotone function nearest to the readings in least squares,
 * by pooling adjacent violators (Ayer et al. 1955). By rising confidence.
 */
export const expectedLosses = (readings: readonly Pick<ExitReading, 'confidence' | 'loss'>[]): Level[] => {
  const sorted = [...readings].sort((a, b) => a.confidence - b.confidence || b.loss - a.loss);
  const pools: { confidence: number; sum: number; count: number }[] = [];
  for (const { confidence, loss } of sorted) {
    pools.push({ confidence, sum: loss, count: 1 });
    for (let last = pools.at(-1)!, before = pools.at(-2); before; last = pools.at(-1)!, before = pools.at(-2)) {
      // Equal confidences cannot be told apart.
      if (before.sum / before.count > last.sum / last.count && before.confidence < last.confidence) break;
      pools.splice(-2, 2, {
        confidence: before.confidence,
        sum: before.sum + last.sum,
        count: before.count + last.count,
      });
    }
  }
  return pools.map(({ confidence, sum, count }) => ({ confidence, loss: sum / count }));
};

/** The least confidence at which no more than `price` nats are expected to be lost; above 1 where that is never so. */
const thresholdAt = (levels: readonly Level[], price: number): number =>
  levels.find(({ loss }) => loss <= price)?.confidence ?? 2;

/** What comes of thresholds. */
export interface ExitOutcome {
  /** One for each exit: leave where the confidence is at least this. Above 1: never. */
  readonly thresholds: readonly number[];
  /** Share of the samples that leave at each exit; what is left goes through the whole model. */
  readonly shares: readonly number[];
  /** Expected operations of a sample. */
  readonly operations: number;
  /** Expected divergence from the whole model in nats. */
  readonly loss: number;
  readonly agreement: number;
}

/** What readings say of thresholds: each sample leaves at the first exit that it is sure enough at. */
export const outcomeOf = (
  /** By exit, then by sample. */
  readings: readonly (readonly ExitReading[])[],
  thresholds: readonly number[],
  costs: { readonly exits: readonly number[]; readonly whole: number },
): ExitOutcome => {
  const samples = readings[0]?.length ?? 0;
  const counts = readings.map(() => 0);
  let [operations, loss, agreement] = [0, 0, 0];
  for (let sample = 0; sample < samples; sample++) {
    const exit = readings.findIndex((own, index) => own[sample]!.confidence >= thresholds[index]!);
    if (exit < 0) {
      operations += costs.whole;
      agreement += 1;
      continue;
    }
    counts[exit]!++;
    operations += costs.exits[exit]!;
    loss += readings[exit]![sample]!.loss;
    agreement += readings[exit]![sample]!.agreement;
  }
  return {
    thresholds,
    shares: counts.map((count) => count / samples),
    operations: operations / samples,
    loss: loss / samples,
    agreement: agreement / samples,
  };
};

/**
 * Outcomes along one price of leaving, from the lowest to the highest: a sample leaves at the first exit where the loss
 * that is expected of its confidence is no more than the price (thresholds for a budget as in DeeR, Yue et al. 2024,
 * section 3.3, all exits under one price).
 */
export const exitFront = (
  readings: readonly (readonly ExitReading[])[],
  costs: { readonly exits: readonly number[]; readonly whole: number },
): ExitOutcome[] => {
  const levels = readings.map(expectedLosses);
  const prices = [...new Set([-1, ...levels.flat().map(({ loss }) => loss)])].sort((a, b) => a - b);
  return prices.map((price) =>
    outcomeOf(
      readings,
      levels.map((own) => thresholdAt(own, price)),
      costs,
    ),
  );
};
