import { type SitePacking, siteTensor } from '../../../analysis/site-weights.ts';
import { roundWithBestClip } from '../methods/best-clip.ts';
import { roundingMethods } from '../methods/index.ts';
import { reduceRanges } from '../methods/magr.ts';
import type { RequestedSettings, RoundingProblem } from '../methods/method.ts';
import { momentProduct } from '../methods/moment-product.ts';
import { PackedAssembler } from './assembler.ts';
import { locateNumeric } from './locate.ts';
import type { Piece } from './pieces.ts';
import type { WeightUnit } from './plan.ts';
import { predictedLoss } from './predicted.ts';
import { measureError } from './rounding-error.ts';
import { groupSizeFor } from './scheme.ts';

/** Numbers of a weight for the report. */
export type UnitFacts = Readonly<Record<string, number>>;

/** A weight's integers and what there is to say about them. */
export interface RoundedUnit {
  readonly packing: SitePacking;
  readonly facts: UnitFacts;
  readonly fallbacks: readonly string[];
}

/** T of a piece, collected or as W G; undefined where neither is known. */
const targetOf = async (piece: Piece, weight: Float32Array, signal: AbortSignal): Promise<Float64Array | undefined> => {
  const { cross, target, rowCount: rows, columnCount: columns } = piece;
  if (target) return target;
  return cross && momentProduct(weight, cross, { rows, columns, signal });
};

/** The weight that is rounded in place of the given one: with smaller ranges, where that is asked for and H is known. */
const prepared = async (weight: Float32Array, problem: Omit<RoundingProblem, 'weight'>): Promise<Float32Array> => {
  const { gram, settings } = problem;
  if (!gram || settings.magr === 0) return weight;
  return reduceRanges({ ...problem, weight, gram, share: settings.magr });
};

/** Rounds one weight, piece by piece. */
export class UnitRounder {
  readonly #unit: WeightUnit;
  readonly #settings: RequestedSettings;
  readonly #signal: AbortSignal;
  readonly #assembler: PackedAssembler;
  readonly #facts: Record<string, number> = {};
  readonly #fallbacks = new Set<string>();
  #error = 0;
  #reference = 0;
  #predicted: number | undefined;
  #errorOf: 'output_error' | 'weight_error' = 'weight_error';

  constructor(unit: WeightUnit, settings: RequestedSettings, signal: AbortSignal) {
    const { rows, columns } = unit.sites[0];
    this.#unit = unit;
    this.#settings = settings;
    this.#signal = signal;
    const groupSize = groupSizeFor(unit.scheme, columns);
    this.#assembler = new PackedAssembler(unit.scheme, { rows, columns, groupSize });
  }

  /**
   * Chooses the integers of a piece, whose weights are given as it reads them.
   * @throws CompressError 'numeric' naming tensor and element for NaN and infinite weights, and for an H that no
   * damping makes positive definite; 'interrupted' when the signal fires.
   */
  async round(piece: Piece, weight: Float32Array): Promise<void> {
    const { scheme, method: name, sites } = this.#unit;
    const [site] = sites;
    const method = roundingMethods[name];
    const common = {
      rows: piece.rowCount,
      columns: piece.columnCount,
      scheme,
      groupSize: Math.min(groupSizeFor(scheme, site.columns), piece.columnCount),
      gram: piece.gram,
      cross: piece.cross,
      target: await targetOf(piece, weight, this.#signal),
      outputMoment: piece.outputs?.moment,
      scaleType: siteTensor(site).dtype === 'float16' ? ('float16' as const) : ('float32' as const),
      settings: { ...this.#settings, damp: this.#settings.damp ?? method.damp },
      signal: this.#signal,
    };
    try {
      const problem = { ...common, weight: await prepared(weight, common) };
      const start = await (scheme.clip === 'auto' ? roundWithBestClip(method, problem) : method.round(problem));
      const rounded = method.refine ? await method.refine(problem, start) : start;
      const share = await measureError({ ...problem, weight }, rounded);
      const loss = await predictedLoss(piece, weight, rounded, common);
      this.#error += share.error;
      this.#reference += share.signal;
      if (piece.gram) this.#errorOf = 'output_error';
      if (loss !== undefined) this.#predicted = (this.#predicted ?? 0) + loss;
      for (const [key, value] of Object.entries(rounded.facts))
        this.#facts[key] = Math.max(this.#facts[key] ?? value, value);
      if (rounded.fallback) this.#fallbacks.add(rounded.fallback);
      this.#assembler.add(piece, rounded);
    } catch (error) {
      throw locateNumeric(error, site, piece, weight);
    }
  }

  /** The whole weight, once every piece was rounded. Errors and losses of the pieces add up; of every other fact it is the largest. */
  finish(): RoundedUnit {
    const relative = this.#reference > 0 ? this.#error / this.#reference : 0;
    const predicted = this.#predicted === undefined ? {} : { predicted_loss: this.#predicted };
    return {
      packing: this.#assembler.finish(this.#unit.method),
      facts: { [this.#errorOf]: relative, ...predicted, ...this.#facts },
      fallbacks: [...this.#fallbacks],
    };
  }
}
