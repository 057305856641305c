import type { Finding } from '../../recipe/events.ts';
import type { Measure } from './budget.ts';
import type { Format } from './formats.ts';
import type { PredictorName } from './predictors.ts';

/** One format of a site in the report. */
export interface ReportedOption {
  readonly format: string;
  readonly bits: number | 'none';
  readonly group_size: number | 'row';
  readonly bytes: number;
  /** Loss in nats an item that the allocation goes by. */
  readonly loss: number;
  /** Measured divergence in nats an item, where it was measured. */
  readonly measured?: number;
  /** What each predictor says; their units differ. */
  readonly predicted: Readonly<Partial<Record<PredictorName, number>>>;
}

export interface ReportedSite {
  readonly site: string;
  readonly op: string;
  readonly role?: string;
  readonly block?: number;
  readonly rows: number;
  readonly columns: number;
  /** Sites that share its constant. */
  readonly shared_with?: readonly string[];
  readonly options: readonly ReportedOption[];
  /** The format that the allocation gives it. */
  readonly chosen?: string;
}

/** How well a predictor orders sites by the divergence that rounding each alone was measured to cause. */
export interface ReportedCorrelation {
  readonly predictor: PredictorName;
  /** Spearman's rank correlation over the sites that the predictor knows. */
  readonly correlation: number;
  readonly sites: number;
}

export interface ReportedAllocation {
  /** What the budget counts, and the most of it. */
  readonly measure: Measure;
  readonly limit?: number;
  readonly cost: number;
  readonly average_bits: number;
  readonly bytes: number;
  /** Sum of the losses of the options taken. */
  readonly loss: number;
  /** Measured divergence of all of them together, before and after the search. */
  readonly measured?: {
    readonly before: number;
    readonly after: number;
    readonly tried: number;
    readonly taken: number;
  };
}

/** The same format everywhere, to compare with. */
export interface ReportedUniform {
  readonly format: string;
  readonly average_bits: number;
  readonly bytes: number;
  readonly loss: number;
}

/** What the stage found out. */
export interface SensitivityReport {
  readonly sites: readonly ReportedSite[];
  readonly uniform: readonly ReportedUniform[];
  /** What every budget can buy: points of a plot. */
  readonly front: {
    readonly measure: Measure;
    readonly points: readonly { readonly cost: number; readonly loss: number }[];
  };
  readonly correlations: readonly ReportedCorrelation[];
  /** Sum of the predicted and of the measured losses over the sites that were measured. */
  readonly sums?: { readonly predicted: number; readonly measured: number; readonly format: string };
  readonly allocation?: ReportedAllocation;
  /** Recipe text that gives every site its width, ready to be committed. */
  readonly recipe?: string;
  readonly findings: readonly Finding[];
}

/** A format by site. */
export type Assignment = ReadonlyMap<string, Format>;
