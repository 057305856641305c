import type { Dataset } from '../calibration/dataset.ts';
import type { Engine } from '../execution/session.ts';
import type { Program } from '../ir/graph.ts';
import type { MetricResult } from '../recipe/events.ts';
import type { MetricStep } from './step.ts';

/** What a metric found, without its names. */
export type Measured = Pick<MetricResult, 'value' | 'count'> & { readonly interval?: number | undefined };

/** Gathers one metric over a dataset. */
export interface Accumulator {
  add(step: MetricStep): void;
  /** undefined when nothing that was added could be measured. */
  result(): Measured | undefined;
}

interface MetricCard {
  /** As recipes and reports call it. */
  readonly name: string;
  /** What it is, as an object: 'the perplexity of predicted tokens'. */
  readonly summary: string;
  readonly unit?: string;
  readonly better?: 'lower' | 'higher';
}

/** A metric of what a model puts out for samples. */
export interface DataMetric extends MetricCard {
  readonly kind: 'data';
  /** Whether the outputs are compared with those of a reference model. */
  readonly needsReference: boolean;
  /** Whether outputs are read as scores of classes. */
  readonly needsClasses: boolean;
  /** What samples and outputs must be, for the message when nothing could be measured. */
  readonly needs: string;
  start(): Accumulator;
}

/** What a metric of the model itself may use. */
interface ModelMetricContext {
  readonly program: Program;
  readonly dataset: Dataset;
  readonly engine: Engine;
  readonly threads: number | undefined;
  readonly signal: AbortSignal | undefined;
}

/** A metric of the model itself: its size, its speed. */
export interface ModelMetric extends MetricCard {
  readonly kind: 'model';
  readonly needsReference: false;
  measure(context: ModelMetricContext): Promise<Measured>;
}

export type Metric = DataMetric | ModelMetric;
