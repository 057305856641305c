import type { NumericArray } from '../calibration/dataset.ts';
import { type OutputKind, type Rows, rowsOf, toLogits } from './outputs.ts';
import { type RowScores, scoreRows } from './softmax.ts';

/** The facts of one run of a model (and of the reference beside it) over a sample or a step of one. */
export interface StepFacts {
  /** Number of the sample; the steps of a sequence share it. */
  readonly sample: number;
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

/** Classifications of one run: scores of the rows that count. */
export interface Classified {
  readonly scores: RowScores;
  /** Whether a row counts (a token that is to be predicted). */
  counts(row: number): boolean;
}

/** One run, with what several metrics want to know of it computed once. */
export class MetricStep {
  readonly facts: StepFacts;
  #classified: Classified | undefined | 'unknown' = 'unknown';

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

  /** The output read as class scores; undefined where it holds fewer than two classes. */
  get classified(): Classified | undefined {
    if (this.#classified === 'unknown') this.#classified = this.#classify();
    return this.#classified;
  }

  #classify(): Classified | undefined {
    const { rows } = this;
    const { label, tokens, kind } = this.facts;
    if (rows.width < 2 || rows.rows === 0) return undefined;
    // Row i of a language model predicts token i + 1: the last row predicts nothing that is known.
    const count = tokens ? rows.rows - 1 : rows.rows;
    const take = (data: Float32Array): Float32Array => toLogits(data.subarray(0, count * rows.width), kind);
    const labels = tokens
      ? tokens.ids.subarray(1)
      : label !== undefined && count === 1
        ? Int32Array.of(label)
        : undefined;
    const { referenceRows } = this;
    const scores = scoreRows({
      logits: take(rows.data),
      classes: rows.width,
      ...(labels ? { labels } : {}),
      ...(referenceRows ? { reference: take(referenceRows.data) } : {}),
    });
    return { scores, counts: (row) => !tokens || tokens.scored[row + 1] === 1 };
  }
}
