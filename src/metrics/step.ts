import type { NumericArray } from '../calibration/dataset.ts';
import { CompressError } from '../errors.ts';
import { softmaxMetrics } from '../kernels/index.ts';
import { type OutputKind, type Rows, rowsOf, toLogits } from './outputs.ts';

/** The facts of one run of a model (and of the reference beside it) over a sample or a step of one. */
export interface StepFacts {
  /** What the run is called in messages. */
  readonly item: string;
  readonly kind: OutputKind;
  /** The primary output, and the reference's. */
  readonly output: NumericArray;
  readonly reference?: NumericArray | undefined;
  /** Class that a labelled sample shows. */
  readonly label?: number | undefined;
  /** Tokens of a window, and which of them are to be predicted, where the output scores a vocabulary. */
  readonly tokens?: { readonly ids: Int32Array; readonly scored: Uint8Array } | undefined;
  /** Whether the output is hidden states [1, positions, width] of an encoder. */
  readonly hidden: boolean;
}

/** Rows of class scores, one a decision, with what is known about them. */
export interface Classified {
  /** (rows, classes). */
  readonly logits: Float32Array;
  readonly classes: number;
  /** True class of each row, where known. */
  readonly labels?: Int32Array;
  /** −log p(label) of each row in nats. */
  readonly loss?: Float64Array;
  /** D(reference ‖ model) of each row in nats. */
  readonly divergence?: Float64Array;
  /** 1 where model and reference have the same best class. */
  readonly agrees?: Uint8Array;
  /** Whether a row counts (a token that is to be predicted). */
  counts(row: number): boolean;
}

const checkLabels = (labels: Int32Array | undefined, classes: number, item: string): void => {
  const wrong = labels?.find((label) => label < 0 || label >= classes);
  if (wrong !== undefined)
    throw new CompressError({
      code: 'data',
      message: `${item}: the label ${wrong} is none of the model's ${classes} classes`,
      hint: 'Labels count from 0, in the order of the model’s outputs.',
    });
};

/** One run, with what several metrics want to know of it computed once. */
export class MetricStep {
  readonly facts: StepFacts;
  #classified: Classified | undefined;

  constructor(facts: StepFacts) {
    this.facts = facts;
  }

  /** The output as rows over its last axis. */
  get rows(): Rows {
    return rowsOf(this.facts.output);
  }

  get referenceRows(): Rows | undefined {
    return this.facts.reference && rowsOf(this.facts.reference);
  }

  /** The output read as class scores, after `classify`; undefined where it holds fewer than two classes. */
  get classified(): Classified | undefined {
    return this.#classified;
  }

  /** @throws CompressError 'data' for labels that are no classes, 'numeric' for scores that make no distribution. */
  async classify(): Promise<void> {
    const { rows, referenceRows } = this;
    const { item, label, tokens, kind } = this.facts;
    // Row i of a language model predicts token i + 1: the last row predicts nothing that is known.
    const count = tokens ? rows.rows - 1 : rows.rows;
    if (rows.width < 2 || count < 1) return;
    const take = (data: Float32Array): Float32Array => toLogits(data.subarray(0, count * rows.width), kind);
    const known = label !== undefined && count === 1 ? Int32Array.of(label) : undefined;
    const labels = tokens ? tokens.ids.subarray(1) : known;
    checkLabels(labels, rows.width, item);
    const logits = take(rows.data);
    const reference = referenceRows && take(referenceRows.data);
    const found = await softmaxMetrics({ logits, labels: labels ?? new Int32Array(count), reference }).catch(
      (cause: unknown) => {
        if (!(cause instanceof CompressError)) throw cause;
        throw new CompressError({
          code: cause.code,
          message: `${item}: the model's scores are no distribution: ${cause.message}`,
          hint: 'The model computes NaN or infinite numbers here.',
          cause,
        });
      },
    );
    this.#classified = {
      logits,
      classes: rows.width,
      ...(labels ? { labels, loss: found.nll } : {}),
      ...(found.kl ? { divergence: found.kl } : {}),
      ...(found.agree ? { agrees: found.agree } : {}),
      counts: (row) => !tokens || tokens.scored[row + 1] === 1,
    };
  }
}
